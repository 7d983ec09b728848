"""Rows that stand twice, and training rows that are too like a test row."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from tasks.contract.likeness import jaccard, words


def normalised(text: str) -> str:
    """`text` as it counts for exact duplicates: its words, in order, without case and outer punctuation."""
    return " ".join(words(text))


def near_duplicates(
    tests: Sequence[str], others: Sequence[str], threshold: float, report: Callable[[int], None]
) -> list[bool]:
    """For each of `others`, whether its Jaccard similarity of words to any of `tests` is at least `threshold`.

    Exact, for a test row that was trained on must not slip through, as a few of a hundred do with MinHash. Prefix
    filtering (Chaudhuri et al. 2006) keeps it quick: with the words of each text in one order, rarest first, two texts
    that are alike share one of the first `n - ceil(threshold * n) + 1` of their `n` words.
    """
    bags = [frozenset(words(text)) for text in tests]
    frequency = Counter(word for bag in bags for word in bag)

    def prefix(bag: frozenset[str]) -> list[str]:
        rarest = sorted(bag, key=lambda word: (frequency[word], word))
        return rarest[: len(bag) - math.ceil(threshold * len(bag) - 1e-9) + 1]

    having: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
    for bag in bags:
        for word in prefix(bag):
            having[word].append(bag)
    found = []
    for done, text in enumerate(others, 1):
        bag = frozenset(words(text))
        candidates = (test for word in prefix(bag) for test in having.get(word, ()))
        found.append(any(jaccard(bag, test) >= threshold for test in candidates))
        report(done)
    return found
