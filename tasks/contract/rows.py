"""What stages agree on about rows: the identity of a row, and the label of a token without loss."""

import json
from typing import Any

from tasks.contract.errors import InputError
from tasks.contract.files import fingerprint

Message = dict[str, Any]
"""A turn of a dialogue as chat templates take it: role, content, and what else it had."""

IGNORED = -100
"""Label of a token without loss (PyTorch's `ignore_index`)."""


def row_id(source: str, content: Any) -> str:
    """The row's stable id: 16 hex digits of the SHA-256 of its source and content (messages, or a text)."""
    return fingerprint([source, content])[:16]


def turns(given: list[dict[str, Any]]) -> list[Message]:
    """The turns of a column of canonical rows as chat templates take them."""
    return [
        {"role": turn["role"], "content": turn["content"], **json.loads(turn.get("extra") or "{}")} for turn in given
    ]


def messages(row: dict[str, Any]) -> list[Message]:
    """The turns of a canonical row. Raises `InputError` for a row that is no conversation: a text, a preference."""
    if not row["messages"]:
        raise InputError(f"the row {row['id']} is no conversation; a row needs messages to be evaluated.")
    return turns(row["messages"])
