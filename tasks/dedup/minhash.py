"""MinHash signatures of sets, cut into bands: sets that are alike probably agree in a whole band.

Shapes: `N` sets, `W` words of all sets together, `K` bands.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MISSED = 0.03
"""Share of pairs right at the threshold that may agree in no band."""

FUNCTIONS = 160
"""Most hash functions of a signature; more of them would let bands be longer, which proposes fewer pairs in vain."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class MinHash:
    """Hash functions `x -> factor * x + shift` modulo 2**32, and how many of them make a band."""

    bands: int
    rows: int
    """Functions a band."""
    factors: npt.NDArray[np.uint32]
    shifts: npt.NDArray[np.uint32]

    @classmethod
    def at(cls, threshold: float, seed: int) -> "MinHash":
        """The bands for a threshold, and functions that follow from `seed` alone."""
        bands, rows = banding(threshold)
        drawn = hashlib.shake_256(f"near duplicates {seed}".encode()).digest(8 * bands * rows)
        factors, shifts = np.frombuffer(drawn, "<u4").astype(np.uint32).reshape(2, -1)
        return cls(bands, rows, factors | np.uint32(1), shifts)

    def keys(self, words: npt.NDArray[np.uint32], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """Band keys (1 + K, N) of sets that lie one behind the other in `words` (W), from `starts` (N); none is empty.

        The first row has a fingerprint of the whole set. Each function runs over all sets at once; with sets of 40
        words that is as quick as compiled libraries, whose signatures come out as lists or need a power of two.
        """
        keys = np.empty((1 + self.bands, len(starts)), np.uint64)
        keys[0] = mixed(np.add.reduceat(mixed(words.astype(np.uint64) + _ODD), starts))
        hashed = np.empty_like(words)
        lowest = np.empty(len(starts), np.uint32)
        for number, (factor, shift) in enumerate(zip(self.factors, self.shifts, strict=True)):
            np.multiply(words, factor, out=hashed)
            np.add(hashed, shift, out=hashed)
            np.minimum.reduceat(hashed, starts, out=lowest)
            key = keys[1 + number // self.rows]
            if number % self.rows == 0:
                key[:] = number
            key ^= lowest
            key *= _ODD
            key ^= key >> np.uint64(29)
        keys[1:] = mixed(keys[1:])
        return keys


def banding(threshold: float) -> tuple[int, int]:
    """Bands and functions a band: the longest bands that miss at most `MISSED` with at most `FUNCTIONS` in all.

    A band of r functions agrees for sets of similarity s with probability s**r, so b bands miss (1 - s**r)**b of them.
    """
    best = (1, 1)
    for rows in range(1, FUNCTIONS + 1):
        agree = threshold**rows
        bands = 1 if agree > 1 - MISSED else math.ceil(math.log(MISSED) / math.log1p(-agree))
        if rows > 1 and bands * rows > FUNCTIONS:
            break
        best = (bands, rows)
    return best


def mixed(values: Any) -> Any:
    """64-bit numbers with every bit spread over all of them (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
