"""Which split a row belongs to: its file decides, else its own key, else the hash of what it asks."""

import hashlib
from typing import Any

from tasks.contract.likeness import words

SPLITS = ("train", "validation", "test")

_NAMES = {name: name for name in SPLITS} | dict.fromkeys(("valid", "val", "dev"), "validation")


def given(file_split: str | None, value: dict[str, Any]) -> str | None:
    """The split that the file or the record's key `split` names, or None. Raises `ValueError` for an unknown name."""
    if file_split:
        return file_split
    named = value.get("split")
    if named is None:
        return None
    if not isinstance(named, str) or named.lower() not in _NAMES:
        raise ValueError(named)
    return _NAMES[named.lower()]


def drawn(request: str, validation_share: float, test_share: float) -> str:
    """The split of a request by its hash: adding rows never moves others, and equal requests stay together."""
    digest = hashlib.sha256(" ".join(words(request)).encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"
