"""Which parameters changed, in words: `train.learning_rate 0.005 -> 0.001`."""

import json
from collections.abc import Mapping
from typing import Any

UNSET = "(not set)"
"""The value of a key that a file does not have: it has its default, or is none."""


def parameters(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One line for each key whose value differs, with the dotted key, the old value and the new one."""
    lines = []
    for key in [*old, *(key for key in new if key not in old)]:
        name = f"{prefix}{key}"
        if key not in new:
            lines.append(f"{name} {shown(old[key])} -> {UNSET}")
        elif key not in old:
            lines.append(f"{name} {UNSET} -> {shown(new[key])}")
        elif isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
            lines += parameters(old[key], new[key], f"{name}.")
        elif old[key] != new[key]:
            lines.append(f"{name} {shown(old[key])} -> {shown(new[key])}")
    return lines


def shown(value: Any) -> str:
    """A value on one line, as one would type it in params.yaml; cut at 60 characters."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
