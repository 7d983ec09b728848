"""Training rows that repeat a passage of the test: runs of words in common (n-grams), as in Brown et al. 2020."""

from collections.abc import Iterable, Iterator

from tasks.clean.keys import number
from tasks.contract.likeness import words


class Passages:
    """Every run of `length` words in the test rows, as hashes. Memory grows with the test rows only."""

    def __init__(self, tests: Iterable[str], length: int) -> None:
        self._length = length
        self._runs = {run for text in tests for run in self._hashes(text)}

    def repeated(self, text: str) -> bool:
        """Whether `text` has one of the runs. Test rows shorter than a run can only be found as near-duplicates."""
        return any(run in self._runs for run in self._hashes(text))

    def _hashes(self, text: str) -> Iterator[int]:
        said = words(text)
        for start in range(len(said) - self._length + 1):
            yield number(" ".join(said[start : start + self._length]))
