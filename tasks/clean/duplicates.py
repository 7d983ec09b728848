"""Rows that stand twice, and training rows that are too like a test row."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tasks.clean.numbered import Numbered, Numbers
from tasks.dedup.bags import Bags, spans
from tasks.dedup.link import similarity
from tasks.dedup.similarity import words

_WORDS = 500_000
"""Words that are compared at once."""


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
        bags = sorted({frozenset(text.split()) for text in tests}, key=sorted)
        frequency = Counter(word for bag in bags for word in bag)
        rarest_first = sorted(frequency, key=lambda word: (frequency[word], word))
        self.dictionary = {word: number for number, word in enumerate(rarest_first)}
        """Number of each word, the rarest first."""
        sizes = np.array([len(bag) for bag in bags], np.int64)
        numbers = [number for bag in bags for number in sorted(self.dictionary[word] for word in bag)]
        self._tests = Bags(np.array(numbers, np.uint32), sizes)
        self._starts = np.cumsum(sizes) - sizes
        beginning = _places(sizes) < np.repeat(self._lengths(sizes), sizes)
        first_words = self._tests.words[beginning].astype(np.int64)
        order = np.argsort(first_words, kind="stable")
        self._having = np.repeat(np.arange(len(bags)), sizes)[beginning][order]
        """Tests by the words that they begin with, word after word."""
        self._having_starts = np.searchsorted(first_words[order], np.arange(len(self.dictionary) + 1))

    def near(self, texts: Numbered) -> npt.NDArray[np.bool_]:
        """Which texts, numbered by `dictionary`, are too like any of the tests."""
        bags, near = texts.bags(), np.zeros(texts.texts, np.bool_)
        starts, owners = np.cumsum(bags.sizes) - bags.sizes, np.repeat(np.arange(texts.texts), bags.sizes)
        is_known = bags.words < texts.known
        unknown = np.bincount(owners[~is_known], minlength=texts.texts)
        # words that are in no test are the rarest; known ones come first in a bag, so their order is moved
        beginning = is_known & (_places(bags.sizes) + unknown[owners] < self._lengths(bags.sizes)[owners])
        first_words, rows = bags.words[beginning].astype(np.int64), owners[beginning]
        counts = self._having_starts[first_words + 1] - self._having_starts[first_words]
        tests = self._having[_spread(self._having_starts[first_words], counts)]
        pairs = np.unique(np.repeat(rows, counts) << 32 | tests)
        rows, tests = pairs >> 32, pairs & 0xFFFFFFFF
        one, two = bags.sizes[rows], self._tests.sizes[tests]
        able = np.minimum(one, two) / np.maximum(one, two) >= self._threshold
        rows, tests = rows[able], tests[able]
        for span in spans((one + two)[able], _WORDS):
            left, right = rows[span], tests[span]
            open_ = ~near[left]
            left, right = left[open_], right[open_]
            shares = similarity(_taken(bags, starts, left), _taken(self._tests, self._starts, right))
            near[left[shares >= self._threshold]] = True
        return near

    def _lengths(self, sizes: Numbers) -> Numbers:
        """Words that a text begins with, by the number of its words."""
        lengths: Numbers = sizes - np.ceil(self._threshold * sizes - 1e-9).astype(np.int64) + 1
        return lengths


def _places(sizes: Numbers) -> Numbers:
    """For each word of bags of these sizes its place in the bag, from 0."""
    return _spread(np.zeros(len(sizes), np.int64), sizes)


def _spread(starts: Numbers, counts: Numbers) -> Numbers:
    """`counts` whole numbers from each of `starts` on, one after the other."""
    before = np.cumsum(counts) - counts
    spread: Numbers = np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
    return spread


def _taken(bags: Bags, starts: Numbers, rows: Numbers) -> Bags:
    """The bags at the places `rows`."""
    sizes = bags.sizes[rows]
    return Bags(bags.words[_spread(starts[rows], sizes)], sizes)
