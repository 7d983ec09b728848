"""Training rows that repeat a passage of the test: runs of words in common (n-grams), as in Brown et al. 2020."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.clean.numbered import Numbered, numbered
from tasks.dedup.minhash import mixed

_STEP = np.uint64(0xD1342543DE82EF95)


class Ngrams:
    """Every run of `length` words in the test rows, as hashes of 64 bits. Memory grows with the test rows only."""

    def __init__(self, tests: Iterable[str], length: int) -> None:
        """`tests`: normalised texts; `length`: words of a run."""
        texts = list(tests)
        self._length = length
        self.dictionary: dict[str, int] = {}
        """Number of each word of the tests."""
        for text in texts:
            for word in text.split():
                self.dictionary.setdefault(word, len(self.dictionary))
        in_order = numbered(pa.array([" ".join(text.split()) for text in texts], pa.large_string()), self.dictionary)
        self._runs = np.unique(self._hashes(in_order)[0])

    def any_in(self, texts: Numbered) -> npt.NDArray[np.bool_]:
        """Which texts, numbered by `dictionary`, have one of the runs.

        Shorter test rows can be found as near-duplicates only.
        """
        shared = np.zeros(texts.texts, np.bool_)
        runs, owners = self._hashes(texts)
        if len(self._runs):
            places = np.minimum(np.searchsorted(self._runs, runs), len(self._runs) - 1)
            shared[owners[self._runs[places] == runs]] = True
        return shared

    def _hashes(self, texts: Numbered) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """Every run of words that are all known, as a hash, and the number of its text."""
        last = len(texts.words) - self._length + 1
        if last <= 0:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        owners, ends = texts.owners[:last], texts.owners[self._length - 1 :]
        unknown = np.append(0, np.cumsum(texts.words >= texts.known))
        whole = np.flatnonzero((owners == ends) & (unknown[self._length :] == unknown[:last]))
        words, runs = mixed(texts.words.astype(np.uint64) + _STEP), np.zeros(len(whole), np.uint64)
        for ahead in range(self._length):
            runs *= _STEP
            runs += words[whole + ahead]
        return mixed(runs), owners[whole]
