"""What stages agree on about rows: the identity of a row, and the label of a token without loss."""

import json
from typing import Any

from tasks.core.files import fingerprint

Message = dict[str, Any]
"""A turn of a dialogue as chat templates take it: role, content, and what else it had."""

IGNORED = -100
"""Label of a token without loss (PyTorch's `ignore_index`)."""


def row_id(source: str, content: Any) -> str:
    """The row's stable id: 16 hex digits of the SHA-256 of its source and content (messages, or a text).

    >>> len(row_id("faq.jsonl", "a text"))
    16
    """
    return fingerprint([source, content])[:16]


REPEAT = "+"
"""Stands before the number of a repeat in its id."""


def repeated_id(name: str, again: int) -> str:
    """The id of a row that stands in a file already, `again` times: its own for the first time.

    >>> repeated_id("0123456789abcdef", 2)
    '0123456789abcdef+2'
    """
    return f"{name}{REPEAT}{again}" if again else name


def turns(column: list[dict[str, Any]]) -> list[Message]:
    """The turns of a column of canonical rows as chat templates take them."""
    return [
        {"role": turn["role"], "content": turn["content"], **(json.loads(more) if (more := turn.get("extra")) else {})}
        for turn in column
    ]


def dialogue(row: dict[str, Any]) -> list[Message] | None:
    """The turns of a canonical row with the answer that is wanted last: of a pair the chosen one, or one that was
    judged good. None for a text, and for an answer that was judged bad."""
    if row["messages"]:
        return turns(row["messages"])
    answer = row.get("chosen") or (row.get("completion") if row.get("label") else None)
    return turns([*row["prompt"], *answer]) if answer else None
