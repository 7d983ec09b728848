"""What stages agree on about rows: the identity of a row, and the label of a token without loss."""

from typing import Any

from tasks.contract.files import fingerprint

IGNORED = -100
"""Label of a token without loss (PyTorch's `ignore_index`)."""


def row_id(source: str, content: Any) -> str:
    """The row's stable id: 16 hex digits of the SHA-256 of its source and content (messages, or a text)."""
    return fingerprint([source, content])[:16]
