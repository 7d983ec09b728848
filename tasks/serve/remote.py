"""What a running server of OpenAI's protocol serves."""

import os
from typing import Any

import httpx
from pydantic import ValidationError

from tasks.core.errors import InputError, MachineError, SettingsError
from tasks.teacher.settings import Teacher

OWNER = "temper"
"""Who owns a model of `temper serve`, in its list of models."""


def served_model(url: str, candidate: str, name: str | None, key_variable: str | None) -> tuple[str, bool]:
    """The model's name there, and whether `temper serve` serves it: `name`, else the only one, else the candidate's.

    Raises `MachineError` where nobody answers, `InputError` where it is not clear which model is meant.
    """
    teacher(url, "any", key_variable)
    listed = _models(url.rstrip("/"), key_variable)
    names = [str(one.get("id")) for one in listed]
    own = any(one.get("owned_by") == OWNER for one in listed)
    if name is None and candidate in names:
        return candidate, own
    if name is None and len(names) == 1:
        return names[0], own
    if name is None:
        there = (
            f"it serves {', '.join(names[:20])}" if names else "it does not list its models (does the URL end in /v1?)"
        )
        raise InputError(f"{url}: which model is {candidate}? {there}; name it with --model.")
    return name, own


def teacher(url: str, name: str, key_variable: str | None) -> Teacher:
    """How the server is asked. Raises `SettingsError` for an address or a variable that cannot be."""
    try:
        return Teacher(kind="openai", base_url=url, model=name, key_variable=key_variable)
    except ValidationError as error:
        raise SettingsError(f"{url}: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from None


def _models(url: str, key_variable: str | None) -> list[dict[str, Any]]:
    key = os.environ.get(key_variable, "") if key_variable else ""
    if key_variable and not key:
        raise SettingsError(f"--key-variable {key_variable}: no such environment variable; set it to the key.")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        reply = httpx.get(f"{url}/models", headers=headers, timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MachineError(f"{url} cannot be reached: {error or type(error).__name__}.") from None
    if reply.status_code in (401, 403):
        which = f"the key in {key_variable}" if key_variable else "a request without a key (--key-variable)"
        raise InputError(f"{url} rejects {which}.")
    try:
        data = reply.json().get("data")
    except (ValueError, AttributeError):
        return []
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
