"""Arrays that lie in files: the system keeps as much of them in memory as there is room for, the process needs none.

Numbers that there are as many of as records stand in such arrays, and are gone through a block at a time; so the stage
needs as much memory for ten million records as for a hundred thousand.
"""

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 250_000
"""Records that are looked at together; memory goes with it."""


def create(path: Path, kind: npt.DTypeLike, count: int) -> Any:
    """`count` zeros in a new file, to be written to. The file may be removed before the array is."""
    return np.memmap(path, kind, "w+", shape=(count,)) if count else np.zeros(0, kind)


def zeros_like_rows(records: Any, kind: npt.DTypeLike) -> Any:
    """A zero for each of the `records`, which lie in a file, in another file next to it that goes with the array."""
    if not isinstance(records, np.memmap):
        return np.zeros(len(records), kind)
    with TemporaryFile(dir=Path(str(records.filename)).parent) as file:
        return np.memmap(file, kind, "w+", shape=(len(records),))


def mask_of(records: Any, test: Callable[[slice], Any]) -> Any:
    """Which of the `records` pass `test`, which is asked for a block of places at a time: a truth value for each."""
    mask = zeros_like_rows(records, np.bool_)
    for block in blocks(len(records), records, mask):
        mask[block] = test(block)
    return mask


def open_array(path: Path, kind: npt.DTypeLike) -> Any:
    """What lies in `path`, to be read."""
    return np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)


def blocks(count: int, *arrays: Any) -> Iterator[slice]:
    """The places 0 to `count`, a block at a time; after each the pages of `arrays` are given back to the system."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))
        release(*arrays)


def part_count(count: int) -> int:
    """How many parts the places 0 to `count` are to make by some hash, each about a block."""
    return 1 + count // BLOCK


def release(*arrays: Any) -> None:
    """Give the pages of mapped arrays back; the next look at them fetches them from the system's cache or the file."""
    for array in arrays:
        if isinstance(array.base, mmap.mmap):
            array.base.madvise(mmap.MADV_DONTNEED)


def indices_of(wanted: npt.NDArray[np.bool_]) -> Iterator[int]:
    """The places that are wanted, in order."""
    for block in blocks(len(wanted), wanted):
        yield from (np.flatnonzero(wanted[block]) + block.start).tolist()
