"""Training rows that repeat a passage of the test: runs of words in common (n-grams), as in Brown et al. 2020."""

from collections.abc import Iterable, Iterator

from tasks.clean.keys import hash64


class Ngrams:
    """Every run of `length` words in the test rows, as hashes. Memory grows with the test rows only."""

    def __init__(self, tests: Iterable[str], length: int) -> None:
        """`tests`: normalised texts; `length`: words of a run."""
        self._length = length
        self._runs = {run for text in tests for run in self._hashes(text)}

    def any_in(self, text: str) -> bool:
        """Whether a normalised text has one of the runs. Shorter test rows can be found as near-duplicates only."""
        return any(run in self._runs for run in self._hashes(text))

    def _hashes(self, text: str) -> Iterator[int]:
        words = text.split()
        for start in range(len(words) - self._length + 1):
            yield hash64(" ".join(words[start : start + self._length]))
