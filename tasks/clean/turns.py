"""Turns of a conversation in one form, from OpenAI's messages or ShareGPT's; what they have beside text is kept."""

import json
from typing import Any

from tasks.clean.content import Turn, Unusable, as_json

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
}
"""Names of speakers, and the role that each is."""

_SAID = frozenset({"role", "from", "content", "value"})


def conversation(value: dict[str, Any]) -> list[Turn]:
    """The turns of a record with `messages` or `conversations`, and with a `system` prompt beside them."""
    given = value.get("messages", value.get("conversations"))
    if not isinstance(given, list):
        raise Unusable("unknown_shape")
    system = value.get("system")
    if isinstance(system, str) and system.strip():
        given = [{"role": "system", "content": system}, *given]
    return turns(given, "user")


def turns(given: Any, role: str) -> list[Turn]:
    """Turns of a list of messages, or of one message, or of a text that `role` says."""
    if isinstance(given, str):
        given = [{"role": role, "content": given}]
    elif isinstance(given, dict):
        given = [given]
    if not isinstance(given, list) or not all(isinstance(turn, dict) for turn in given):
        raise Unusable("unknown_shape" if given is not None else "empty_turn")
    return [_turn(turn) for turn in given]


def _turn(turn: dict[str, Any]) -> Turn:
    speaker = turn.get("role", turn.get("from"))
    if not isinstance(speaker, str) or speaker.lower() not in ROLES:
        raise Unusable("unknown_role")
    said = turn.get("content", turn.get("value"))
    extra = {key: kept for key, kept in turn.items() if key not in _SAID and not _is_null(kept)}
    if speaker == "function_call":
        extra["tool_calls"], said = _calls(said), None
    called = extra.get("tool_calls", [])
    if not isinstance(called, list) or not all(isinstance(call, dict) for call in called):
        raise Unusable("bad_tool_call")
    if isinstance(said, list):
        text = _joined(said)
        if len(said) > 1:
            extra["parts"] = said
        said = text
    if said is not None and not isinstance(said, str):
        raise Unusable("not_text")
    return {"role": ROLES[speaker.lower()], "content": said or "", "extra": as_json(extra) if extra else None}


def _is_null(value: Any) -> bool:
    """Whether it is null, or an object of nothing else, as which tables write an object that is not there."""
    return value is None or (isinstance(value, dict) and bool(value) and all(map(_is_null, value.values())))


def _calls(said: Any) -> list[dict[str, Any]]:
    """ShareGPT's call of a function, one object or a list of them, as OpenAI's tool_calls."""
    try:
        calls = json.loads(said) if isinstance(said, str) else said
    except ValueError:
        raise Unusable("bad_tool_call") from None
    calls = calls if isinstance(calls, list) else [calls]
    if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        raise Unusable("bad_tool_call")
    return [{"type": "function", "function": call} for call in calls]


def _joined(parts: list[Any]) -> str:
    """The text of a message in parts; a picture or a sound is no text."""
    found = [part.get("text") if isinstance(part, dict) else part for part in parts]
    texts = [text for text in found if isinstance(text, str)]
    if len(texts) < len(parts):
        raise Unusable("not_text")
    return "".join(texts)
