"""What stages agree on about rows: the identity of a row, and the label of a token without loss."""

import json
from typing import Any

from tasks.contract.errors import InputError
from tasks.contract.files import fingerprint

IGNORED = -100
"""Label of a token without loss (PyTorch's `ignore_index`)."""


def row_id(source: str, content: Any) -> str:
    """The row's stable id: 16 hex digits of the SHA-256 of its source and content (messages, or a text)."""
    return fingerprint([source, content])[:16]


def messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of a canonical row as chat templates take them: role, content, and what else the message had.

    Raises `InputError` for a row that is no conversation: a text, a preference.
    """
    if not row["messages"]:
        raise InputError(f"the row {row['id']} is no conversation; a row needs messages to be trained or evaluated.")
    return [
        {"role": turn["role"], "content": turn["content"], **json.loads(turn.get("extra") or "{}")}
        for turn in row["messages"]
    ]
