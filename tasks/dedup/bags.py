"""Texts to sets of hashed words, many at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tasks.dedup.minhash import mixed
from tasks.dedup.similarity import words

_KNOWN = 1 << 18
"""Most spellings whose hashes are kept; those that come later are hashed each time."""

_NO_WORD = 1 << 32

_STEP = np.uint64(0xD1342543DE82EF95)


@dataclass(frozen=True)
class Bags:
    """Sets of 32-bit hashes, one behind the other, each ascending."""

    words: npt.NDArray[np.uint32]
    sizes: npt.NDArray[np.int64]
    """Hashes of each text; 0 for one without words."""


def spans(sizes: npt.NDArray[np.int64], most: int) -> Iterator[slice]:
    """Neighbours of these `sizes` together, as many as make `most`; one that is larger stands alone.

    >>> [(span.start, span.stop) for span in spans(np.array([2, 2, 9, 1]), 4)]
    [(0, 2), (2, 3), (3, 4)]
    """
    ends, begin = np.cumsum(sizes), 0
    while begin < len(sizes):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + most, "right")))
        yield slice(begin, end)
        begin = end


class Hasher:
    """Hashes words as `tasks.dedup.similarity.words` finds them, each spelling once."""

    def __init__(self, shingle: int = 1) -> None:
        """`shingle` is the number of neighbouring words that are hashed as one."""
        self.shingle = shingle
        self._known: dict[str, int] = {}

    def bags(self, texts: list[str]) -> Bags:
        """The sets of `texts`. Safe to call from several threads at once."""
        parts = pc.utf8_split_whitespace(pa.array(texts, pa.large_string()))
        spellings = parts.values.dictionary_encode()
        table = self._hashes(spellings.dictionary.to_pylist())
        runs = table[spellings.indices.to_numpy()]
        marks = np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(32)
        owners = np.repeat(marks[:-1], np.diff(parts.offsets.to_numpy()))
        if (table == _NO_WORD).any():
            full = runs != _NO_WORD
            owners, runs = owners[full], runs[full]
        if self.shingle > 1 and len(runs):
            owners, runs = _runs(owners, runs, self.shingle)
        runs |= owners
        runs.sort()
        if len(runs):
            runs = runs[np.concatenate(([True], runs[1:] != runs[:-1]))]
        return Bags(runs.astype(np.uint32), np.diff(np.searchsorted(runs, marks)))

    def _hashes(self, spellings: list[str]) -> npt.NDArray[np.uint64]:
        """32 bits of the word in each piece between white space, or `_NO_WORD` where it is punctuation only."""
        hashes = list(map(self._known.get, spellings))
        room = _KNOWN - len(self._known)
        for index in [index for index, known in enumerate(hashes) if known is None]:
            word = words(spellings[index])
            hashes[index] = known = xxhash.xxh32_intdigest(word[0].encode()) if word else _NO_WORD
            if room > 0:
                self._known[spellings[index]] = known
                room -= 1
        return np.array(hashes, np.uint64)


def _runs(
    owners: npt.NDArray[np.uint64], hashes: npt.NDArray[np.uint64], length: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Every run of `length` words of one text, hashed to 32 bits; all words of a text that has fewer."""
    runs = mixed(hashes)
    whole = np.zeros(len(hashes), bool)
    whole[0] = True
    whole[1:] = owners[1:] != owners[:-1]
    for ahead in range(1, length):
        inside = np.zeros(len(hashes), bool)
        inside[:-ahead] = owners[ahead:] == owners[:-ahead]
        runs *= _STEP
        runs[inside] += mixed(hashes[ahead:][inside[:-ahead]]) | np.uint64(1)
    whole |= inside
    return owners[whole], mixed(runs[whole]) >> np.uint64(32)
