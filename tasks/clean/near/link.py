"""Pairs that agree in a band, compared exactly, and joined to clusters."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.clean.near.minhash import mixed
from tasks.clean.near.store import Store

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

WINDOW = 16
"""How many texts that follow it in a bucket each text is compared with: all pairs of up to 17 texts."""

_WORDS = 2_000_000
"""Words that are compared at once."""


def linked(store: Store, threshold: float) -> Rows:
    """For each text the first text of its cluster.

    Texts from one mould ("what is the capital of ...") can fill a bucket without being alike. There a text is compared
    with the next one only, and then with those that agree with it in a second band too, so that time stays linear.
    """
    clusters = Clusters(len(store))
    compare = Comparison(store.words, store.starts, threshold, clusters)
    rows = np.flatnonzero(np.diff(store.starts))
    if not len(rows):
        return clusters.first
    for pair in Buckets(_keys(store.bands[0])[rows], rows).neighbours(1):
        compare(*pair)
    rows = rows[clusters.first[rows] == rows]  # of equal sets the first stands for all
    for number, band in enumerate(store.bands[1:], 2):
        keys = _keys(band)
        buckets = Buckets(keys[rows], rows)
        crowd = buckets.crowd()
        for pair in buckets.neighbours(WINDOW, crowd):
            compare(*pair)
        apart = buckets.rows[crowd & buckets.mixed(clusters)]
        apart.sort()
        for other in store.bands[number:] if len(apart) else ():
            for pair in Buckets(mixed(keys[apart]) ^ _keys(other)[apart], apart).neighbours(WINDOW):
                compare(*pair)
    return clusters.of(np.arange(len(store)))


class Buckets:
    """Texts in the order of their keys; a bucket is a run of equal ones, its texts in their own order.

    Key and number of a text share 64 bits, for one sort of plain numbers is many times quicker than an order of them.
    What the key loses (24 of 64 bits with 10 million texts) proposes a few pairs in vain.
    """

    def __init__(self, keys: npt.NDArray[np.uint64], rows: Rows) -> None:
        """`rows` are numbers of texts, ascending; `keys` are theirs."""
        bits = np.uint64(max(1, int(rows[-1]).bit_length()))
        packed = keys >> bits << bits | rows.astype(np.uint64)
        packed.sort()
        self.rows: Rows = (packed & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
        packed >>= bits
        self._keys = packed
        self._begins: Rows = np.flatnonzero(np.concatenate(([True], packed[1:] != packed[:-1])))

    def crowd(self) -> Flags:
        """Which places of `rows` are in buckets of more than `WINDOW` + 1 texts."""
        return self._spread(self._sizes() > WINDOW + 1)

    def mixed(self, clusters: "Clusters") -> Flags:
        """Which places of `rows` are in buckets whose texts are not in one cluster."""
        found = clusters.of(self.rows)
        lowest, highest = np.minimum.reduceat(found, self._begins), np.maximum.reduceat(found, self._begins)
        return self._spread(lowest != highest)

    def neighbours(self, window: int, crowd: Flags | None = None) -> Iterator[tuple[Rows, Rows]]:
        """Pairs of one bucket that are at most `window` places apart (one place in a `crowd`), nearest first."""
        places = np.arange(len(self.rows))
        for step in range(1, window + 1):
            places = places[: np.searchsorted(places, len(self.rows) - step)]
            places = places[self._keys[places] == self._keys[places + step]]
            if step == 2 and crowd is not None:
                places = places[~crowd[places]]
            if not len(places):
                return
            yield self.rows[places], self.rows[places + step]

    def _sizes(self) -> Rows:
        sizes: Rows = np.diff(self._begins, append=len(self.rows))
        return sizes

    def _spread(self, flags: Flags) -> Flags:
        """A flag a bucket to a flag a place."""
        return np.repeat(flags, self._sizes())


class Clusters:
    """Which texts belong together: a forest in which every text points to an earlier one of its cluster."""

    def __init__(self, count: int) -> None:
        """Every text alone."""
        self.first: Rows = np.arange(count)

    def of(self, rows: Rows) -> Rows:
        """The first text of the cluster of each of `rows`; their ways there become short."""
        while True:
            found = self.first[rows]
            further = self.first[found]
            if np.array_equal(found, further):
                return found
            self.first[rows] = further

    def join(self, one: Rows, two: Rows) -> None:
        """Make one cluster of the clusters of each pair."""
        while len(one):
            one, two = self.of(one), self.of(two)
            apart = one != two
            one, two = one[apart], two[apart]
            np.minimum.at(self.first, np.maximum(one, two), np.minimum(one, two))


class Comparison:
    """Compares pairs of texts exactly and joins those that are near-duplicates."""

    def __init__(self, words: npt.NDArray[np.uint32], starts: Rows, threshold: float, clusters: Clusters) -> None:
        """`words` holds the sets of all texts; that of text n begins at `starts[n]` and ends at `starts[n + 1]`."""
        self.words, self.starts, self.threshold, self.clusters = words, starts, threshold, clusters

    def __call__(self, one: Rows, two: Rows) -> None:
        """Join the pairs that are alike; those of one cluster, or of too unlike sizes, are not compared."""
        apart = self.clusters.of(one) != self.clusters.of(two)
        one, two = one[apart], two[apart]
        sizes, others = _sizes(self.starts, one), _sizes(self.starts, two)
        able = np.minimum(sizes, others) / np.maximum(sizes, others) >= self.threshold
        one, two, ends = one[able], two[able], np.cumsum((sizes + others)[able])
        begin = 0
        while begin < len(one):
            before = ends[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, before + _WORDS, "right")))
            left, right = one[begin:end], two[begin:end]
            apart = self.clusters.of(left) != self.clusters.of(right)
            left, right = left[apart], right[apart]
            alike = similarity(self.words, self.starts, left, right) >= self.threshold
            self.clusters.join(left[alike], right[alike])
            begin = end


def similarity(words: npt.NDArray[np.uint32], starts: Rows, one: Rows, two: Rows) -> npt.NDArray[np.float64]:
    """Jaccard similarity of the sets of each pair."""
    if not len(one):
        return np.empty(0)
    marked = np.concatenate([_marked(words, starts, one), _marked(words, starts, two)])
    marked.sort()
    shared = marked[1:][marked[1:] == marked[:-1]] >> np.uint64(32)
    both = np.bincount(shared.astype(np.int64), minlength=len(one))
    shares: npt.NDArray[np.float64] = both / (_sizes(starts, one) + _sizes(starts, two) - both)
    return shares


def _sizes(starts: Rows, rows: Rows) -> Rows:
    """Number of words in the set of each of `rows`."""
    sizes: Rows = starts[rows + 1] - starts[rows]
    return sizes


def _marked(words: npt.NDArray[np.uint32], starts: Rows, rows: Rows) -> npt.NDArray[np.uint64]:
    """The words of each of `rows`, with its place in `rows` in the upper 32 bits."""
    sizes = _sizes(starts, rows)
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1]) + np.repeat(starts[rows] - (ends - sizes), sizes)
    marked: npt.NDArray[np.uint64] = np.repeat(np.arange(len(rows), dtype=np.uint64), sizes) << np.uint64(32)
    marked |= words[places]
    return marked


def _keys(band: Path) -> npt.NDArray[np.uint64]:
    """The keys of all texts in a band, as they lie on disk."""
    keys: npt.NDArray[np.uint64] = np.memmap(band, np.uint64, "r")
    return keys
