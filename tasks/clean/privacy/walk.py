"""Every text in a value of JSON, changed where it must be; what surrounds it stays as it is."""

import json
from collections.abc import Callable
from typing import Any

Change = Callable[[str, str], str]
"""What a text becomes, given the key that it stands under (or ""), for `password` says what `tiger77` is."""

LEAST = 10**9
"""Smaller whole numbers are nobody's card, account or telephone."""


def changed(value: Any, change: Change, key: str = "") -> Any:
    """`value` with every text and long number changed, keys of objects too; texts that hold JSON stay JSON.

    Raises `RecursionError` for what is nested too deep.
    """
    if isinstance(value, str):
        return changed_text(value, change, key)
    if isinstance(value, dict):
        return {
            change(name, "") if isinstance(name, str) else name: changed(held, change, str(name))
            for name, held in value.items()
        }
    if isinstance(value, list | tuple):
        return [changed(held, change, key) for held in value]
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < LEAST):
        return value
    text = str(value)
    new = change(text, key)
    return value if new == text else new


def changed_text(text: str, change: Change, key: str = "") -> str:
    """`text` changed: within its texts where it holds an object or a list in JSON, so that it still does."""
    if text[:1] not in ("{", "["):
        return change(text, key)
    try:
        value = json.loads(text)
    except ValueError:
        return change(text, key)
    new = changed(value, change, key)
    return text if new == value else _written(new, text)


def _written(value: Any, like: str) -> str:
    """`value` as JSON, spaced as `like` is."""
    if "\n" in like:
        return json.dumps(value, ensure_ascii=False, indent=2)
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ") if '": ' in like else (",", ":"))
