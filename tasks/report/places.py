"""Absolute paths taken out of what the report shows: where a file lies on one machine says nothing on another."""

import re
from typing import Any

ABSOLUTE = re.compile(r"(?:/|~/|[A-Za-z]:[\\/])[^\s\\/:]+(?:[\\/][^\s\\/:]+)+[\\/]?")
"""A whole text that is a path with two names at least; other texts may begin with a slash."""


def without_machine(value: Any) -> Any:
    """A JSON value in which each absolute path is its last name.

    >>> without_machine({"folder": "/data/models/smol", "steps": 3})
    {'folder': '.../smol', 'steps': 3}
    """
    if isinstance(value, dict):
        return {key: without_machine(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_machine(inner) for inner in value]
    if isinstance(value, str) and ABSOLUTE.fullmatch(value):
        *_, name = re.split(r"[\\/]", value.rstrip("\\/"))
        return f".../{name}"
    return value
