"""Pairs that agree in a band, compared exactly, and joined to clusters.

Shapes: `N` texts of the store, `P` texts or pairs of texts at hand (numbers of texts, int64).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tasks.dedup.bags import Bags, spans
from tasks.dedup.memmap import blocks, create, release
from tasks.dedup.minhash import mixed
from tasks.dedup.store import Rows, Store

Flags = npt.NDArray[np.bool_]

WINDOW = 16
"""How many texts that follow it in a bucket each text is compared with: all pairs of up to 17 texts."""

_WORDS = 500_000
"""Words that are compared at once."""


def link_clusters(store: Store, threshold: float) -> Rows:
    """For each text the first text of its cluster; the array lies in the store's folder, which may be removed.

    Texts from one mould ("what is the capital of ...") can fill a bucket without being alike. There a text is compared
    with the next one only, and then with those that agree with it in a second band too, so that time stays linear.

    Each band is gone through several times, each time for a part of all buckets, so that few keys are in memory.
    """
    count = len(store)
    clusters = UnionFind(create(store.folder / "first", np.int64, count))
    chosen = create(store.folder / "chosen", np.bool_, count)
    for block, full in store.full():
        chosen[block] = full
    compare = PairComparison(store, threshold, clusters)
    for keys, rows in store.parts(0, chosen):
        for pair in Buckets(keys, rows).neighbours(1):
            compare(*pair)
        release(clusters.first, store.starts)
    for block in blocks(count, chosen, clusters.first):  # of equal sets the first stands for all
        chosen[block] &= clusters.first[block] == np.arange(block.start, block.stop)
    for number in range(1, len(store.bands)):
        for keys, rows in store.parts(number, chosen):
            buckets = Buckets(keys, rows)
            crowd = buckets.crowd()
            for pair in buckets.neighbours(WINDOW, crowd):
                compare(*pair)
            apart = buckets.rows[crowd & buckets.mixed(clusters)]
            apart.sort()
            for other in range(number + 1, len(store.bands)) if len(apart) else ():
                both = mixed(store.keys(number, apart)) ^ store.keys(other, apart)
                for pair in Buckets(both, apart).neighbours(WINDOW):
                    compare(*pair)
            release(clusters.first, store.starts)
    for block in blocks(count, clusters.first):
        clusters.find(np.arange(block.start, block.stop))
    return clusters.first


class Buckets:
    """Texts in the order of their keys; a bucket is a run of equal ones, its texts in their own order.

    Key and number of a text share 64 bits, for one sort of plain numbers is many times quicker than an order of them.
    What the key loses (24 of 64 bits with 10 million texts) proposes a few pairs in vain.
    """

    def __init__(self, keys: npt.NDArray[np.uint64], rows: Rows) -> None:
        """`rows` (P) are numbers of texts, ascending; `keys` (P) are theirs."""
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

    def mixed(self, clusters: "UnionFind") -> Flags:
        """Which places of `rows` are in buckets whose texts are not in one cluster."""
        firsts = clusters.find(self.rows)
        lowest, highest = np.minimum.reduceat(firsts, self._begins), np.maximum.reduceat(firsts, self._begins)
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


class UnionFind:
    """Which texts belong together: a forest in which every text points to an earlier one of its cluster."""

    def __init__(self, first: Rows) -> None:
        """Every text alone. `first` has a place for each text, and is written to."""
        self.first = first
        for block in blocks(len(first), first):
            first[block] = np.arange(block.start, block.stop)

    def find(self, rows: Rows) -> Rows:
        """The first text (P) of the cluster of each of `rows` (P); their ways there become short (path compression)."""
        while True:
            parent = self.first[rows]
            grandparent = self.first[parent]
            if np.array_equal(parent, grandparent):
                return parent
            self.first[rows] = grandparent

    def union(self, one: Rows, two: Rows) -> None:
        """Make one cluster of the clusters of each pair, `one` (P) with `two` (P)."""
        while len(one):
            one, two = self.find(one), self.find(two)
            apart = one != two
            one, two = one[apart], two[apart]
            np.minimum.at(self.first, np.maximum(one, two), np.minimum(one, two))


class PairComparison:
    """Compares pairs of texts exactly and joins those that are near-duplicates."""

    def __init__(self, store: Store, threshold: float, clusters: UnionFind) -> None:
        """Takes sets from `store`, and joins in `clusters`."""
        self.store, self.threshold, self.clusters = store, threshold, clusters

    def __call__(self, one: Rows, two: Rows) -> None:
        """Join the pairs that are alike; those of one cluster, or of too unlike sizes, are not compared."""
        apart = self.clusters.find(one) != self.clusters.find(two)
        one, two = one[apart], two[apart]
        sizes, others = self.store.sizes(one), self.store.sizes(two)
        able = np.minimum(sizes, others) / np.maximum(sizes, others) >= self.threshold
        one, two = one[able], two[able]
        for span in spans((sizes + others)[able], _WORDS):
            left, right = one[span], two[span]
            apart = self.clusters.find(left) != self.clusters.find(right)
            left, right = left[apart], right[apart]
            alike = similarity(self.store.bags(left), self.store.bags(right)) >= self.threshold
            self.clusters.union(left[alike], right[alike])


def similarity(one: Bags, two: Bags) -> npt.NDArray[np.float64]:
    """Jaccard similarity (P) of each of `one` with that of `two` in the same place."""
    if not len(one.sizes):
        return np.empty(0)
    marked = np.concatenate([_marked(one), _marked(two)])
    marked.sort()
    shared = marked[1:][marked[1:] == marked[:-1]] >> np.uint64(32)
    both = np.bincount(shared.astype(np.int64), minlength=len(one.sizes))
    shares: npt.NDArray[np.float64] = both / (one.sizes + two.sizes - both)
    return shares


def _marked(bags: Bags) -> npt.NDArray[np.uint64]:
    """The words of all bags, with the number of the bag in the upper 32 bits."""
    marked: npt.NDArray[np.uint64] = np.repeat(np.arange(len(bags.sizes), dtype=np.uint64), bags.sizes)
    marked <<= np.uint64(32)
    marked |= bags.words
    return marked
