"""Clusters of near-duplicates among millions of texts: MinHash bands propose pairs, exact comparison decides.

Two texts are near-duplicates when the Jaccard similarity of their sets of words (`tasks.dedup.similarity`), or of
runs of `shingle` words, is at least a threshold; a cluster is what such pairs connect. Banded MinHash (Broder 1997;
Leskovec et al., Mining of Massive Datasets, chapter 3) finds the pairs without comparing all: 97 of 100 that lie
right at the threshold, more of those above it, and every pair of equal sets. No pair counts that was not compared.

Words alone suit short rows: one word changed in a request of ten leaves a similarity of 0.82, but 0.45 with runs of
three. They are blind to order, which tells long documents apart; there `shingle: 3` or `5` is stricter.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from tasks.dedup.link import link_clusters
from tasks.dedup.minhash import MinHash
from tasks.dedup.store import Hashed, Signing, Store, blocks_of_texts, by_threads


def clusters(
    batches: Iterable[list[str]],
    threshold: float,
    *,
    scratch: Path,
    shingle: int = 1,
    seed: int = 0,
    threads: int | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> npt.NDArray[np.int64]:
    """For each of N texts the number (from 0) of the first text of its cluster: its own where it is alone or the first.

        clusters([["Stop it now.", "so be it"], ["stop it now"]], 0.8, scratch=folder).tolist()  # [0, 1, 0]

    A text without words is like no other; one of fewer words than `shingle` is one run, of all its words. The result
    depends on the texts, their order, `threshold`, `shingle` and `seed` only. It lies in a file that has no name any
    more, mapped, so that it takes no memory of the process.

    Args:
        batches: The texts, valid Unicode, in lists of any size; each is read once and not kept.
        threshold: Jaccard similarity, above 0 to 1, from which two texts are near-duplicates.
        scratch: Folder for what need not be in memory, removed at the end: 4 bytes a distinct word of each text and
            8 for each of 1 + 20 bands at a threshold of 0.8, 17 for other numbers. Memory does not grow with texts.
        shingle: Number of neighbouring words that are compared as one.
        seed: Chooses the hash functions; another seed may miss other pairs.
        threads: Workers that hash; default: one a processor that this process may use.
        report: Called with the number of texts read so far.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, not {threshold}")
    if shingle < 1:
        raise ValueError(f"shingle must be 1 or more, not {shingle}")
    minhash = MinHash.at(threshold, seed)
    in_order = by_threads(threads or len(os.sched_getaffinity(0)))
    signed = in_order(Signing(minhash, shingle), blocks_of_texts(batches))
    return clusters_of(signed, minhash.bands, threshold, scratch=scratch, report=report)


def clusters_of(
    signed: Iterable[Hashed],
    bands: int,
    threshold: float,
    *,
    scratch: Path,
    report: Callable[[int], None] = lambda done: None,
) -> npt.NDArray[np.int64]:
    """The same for texts whose sets and keys are made; `bands`: how many they have, without the key of the set."""
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="near-", dir=scratch) as folder:
        store = Store(Path(folder))
        store.fill(signed, bands, report)
        return link_clusters(store, threshold)
