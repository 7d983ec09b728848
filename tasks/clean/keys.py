"""A few numbers for each record, in a file: what rows are compared by, so that memory does not grow with the data."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.dedup.memmap import blocks, open_array, part_count, zeros_like_rows


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


DTYPE = np.dtype(
    list(zip(Key.__annotations__, ("u8", "u8", "u8", "u8", "u8", "u4", "i1", "i2", "?", "?"), strict=True))
)
"""A `Key` in the file: 49 bytes."""


def hash64(text: str) -> int:
    """64 bits of the hash of `text`, the same everywhere."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def load(path: Path) -> Any:
    """The numbers in `path`, memory-mapped, in the records' order."""
    return open_array(path, DTYPE)


@dataclass(frozen=True)
class Groups:
    """Groups of records with an equal number, two or more each."""

    places: npt.NDArray[np.int64]
    """`[n]`: group after group, each in the records' order."""
    starts: npt.NDArray[np.int64]
    """`[g]`: where each group begins among the places."""

    def each(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`values` `[g]`, one for each group, as one for each place, `[n]`."""
        return np.repeat(values, np.diff(self.starts, append=len(self.places)))


def equal_groups(keys: Any, field: str, chosen: npt.NDArray[np.bool_]) -> Iterator[Groups]:
    """Groups of `chosen` records with an equal number in `field`; every group whole, many groups at once.

    Each pass looks at one part of all hashes, so that few are in memory. The passes read a copy of the one field, for
    whole records are six times as much to read.
    """
    count, column = part_count(len(keys)), zeros_like_rows(keys, np.uint64)
    for block in blocks(len(keys), keys, column):
        column[block] = keys[block][field]
    for part in range(count):
        places = np.concatenate(
            [
                block.start + np.flatnonzero((column[block] % count == part) & chosen[block])
                for block in blocks(len(keys), column, chosen)
            ]
            or [np.zeros(0, np.int64)]
        )
        values = column[places]
        order = np.argsort(values, kind="stable")
        same = np.diff(values[order]) == 0
        twice = np.append(same, False) | np.append(False, same)  # those with an equal neighbour, few as a rule
        if twice.any():
            places, values = places[order][twice], values[order][twice]
            yield Groups(places, np.flatnonzero(np.diff(values, prepend=~values[:1])))
