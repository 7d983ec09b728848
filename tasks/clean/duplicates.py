"""Rows that stand twice, and training rows that are too like a test row."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

from tasks.dedup.similarity import jaccard, words


def normalise(text: str) -> str:
    """`text` as it counts for exact duplicates: its words, in order, without case and outer punctuation."""
    return " ".join(words(text))


class HeldOut:
    """The test rows, to find rows that are too like one of them. Memory grows with the test rows only.

    Exact, for a test row that was trained on must not slip through, as a few of a hundred do with MinHash. Prefix
    filtering (Chaudhuri et al. 2006) keeps it quick: with the words of each text in one order, rarest first, two texts
    that are alike share one of the first `n - ceil(threshold * n) + 1` of their `n` words.
    """

    def __init__(self, tests: Iterable[str], threshold: float) -> None:
        """Normalised texts; `threshold` is the Jaccard similarity of words (0 to 1) from which one is too like."""
        self._threshold = threshold
        bags = {frozenset(text.split()) for text in tests}
        self._frequency = Counter(word for bag in bags for word in bag)
        self._having: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
        for bag in sorted(bags, key=sorted):
            for word in self._prefix(bag):
                self._having[word].append(bag)

    def is_near_duplicate(self, text: str) -> bool:
        """Whether a normalised text is too like any of them."""
        bag = frozenset(text.split())
        if sum(word not in self._frequency for word in bag) >= self._length(bag):
            return False  # the rarest words are in no test row
        candidates = (test for word in self._prefix(bag) for test in self._having.get(word, ()))
        return any(jaccard(bag, test) >= self._threshold for test in candidates)

    def _length(self, bag: frozenset[str]) -> int:
        return len(bag) - math.ceil(self._threshold * len(bag) - 1e-9) + 1

    def _prefix(self, bag: frozenset[str]) -> list[str]:
        return sorted(bag, key=lambda word: (self._frequency[word], word))[: self._length(bag)]
