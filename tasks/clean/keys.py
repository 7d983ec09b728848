"""A few numbers for each record, in a file: what rows are compared by, so that memory does not grow with the data."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.dedup.memmap import blocks, open_array, part_count


class Key(NamedTuple):
    """The numbers of a record. Hashes have 64 bits: among 10 million rows two that differ meet once in 370,000 runs."""

    id: int = 0
    """Hash of source and content, as in the row's id."""
    content: int = 0
    """Hash of what the row says, normalised."""
    request: int = 0
    """Hash of what it asks, normalised."""
    group: int = 0
    """Hash of what keeps rows in one split."""
    stratum: int = 0
    """Hash of what is to be in every split in proportion."""
    answer: int = 0
    """Length of the answer, characters."""
    split: int = -1
    """Number of the split that file or row name, or -1."""
    part: int = -1
    """Number of the part of `mix`, or -1."""
    dialogue: bool = False
    """Whether it asks for one answer: no preference, no judged answer, no text."""
    left: bool = False
    """Whether the record left before it was compared."""


DTYPE = np.dtype(list(zip(Key._fields, ("u8", "u8", "u8", "u8", "u8", "u4", "i1", "i2", "?", "?"), strict=True)))
"""A `Key` in the file: 49 bytes."""


def hash64(text: str) -> int:
    """64 bits of the hash of `text`, the same everywhere."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Writer:
    """Appends records' numbers to a file."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._keys: list[Key] = []

    def add(self, key: Key) -> None:
        """Append the numbers of a record."""
        self._keys.append(key)
        if len(self._keys) == 4096:
            self._flush()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        np.array(self._keys, dtype=DTYPE).tofile(self._file)
        self._keys.clear()


def load(path: Path) -> Any:
    """The numbers in `path`, memory-mapped, in the records' order."""
    return open_array(path, DTYPE)


def equal_groups(keys: Any, field: str, chosen: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.int64]]:
    """Places of records with an equal number, two or more, each group in order; of `chosen` records only.

    Each pass over the file looks at one part of all hashes, so that few are in memory.
    """
    count = part_count(len(keys))
    for part in range(count):
        places = np.concatenate(
            [
                block.start + np.flatnonzero((keys[block][field] % count == part) & chosen[block])
                for block in blocks(len(keys), keys, chosen)
            ]
            or [np.zeros(0, np.int64)]
        )
        if not len(places):
            continue
        values = keys[field][places]
        order = np.argsort(values, kind="stable")
        same = np.diff(values[order]) == 0
        twice = np.append(same, False) | np.append(False, same)  # those with an equal neighbour, few as a rule
        places, values = places[order][twice], values[order][twice]
        for group in np.split(places, np.flatnonzero(np.diff(values)) + 1):
            if len(group):
                yield group
