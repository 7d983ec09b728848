"""What is known of each text, on disk: its set of words, and the key of each of its bands."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.clean.near.bags import Bags, Hasher
from tasks.clean.near.minhash import MinHash

_TEXTS, _CHARACTERS = 4_096, 4_000_000
"""Most texts that are hashed at once, and the characters after which no more are added."""

Hashed = tuple[Bags, npt.NDArray[np.uint64]]


class Store:
    """Files in a folder of its own: `words` (uint32), and one `band` each (uint64, in the order of texts)."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written before `fill`."""
        self.folder = folder
        self.bands: list[Path] = []
        self.starts: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        """Where each text's words begin in `words`, and where the last ends (texts + 1)."""

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.starts) - 1

    @property
    def words(self) -> npt.NDArray[np.uint32]:
        """The sets of all texts, one behind the other, as they lie on disk."""
        path = self.folder / "words"
        return np.memmap(path, np.uint32, "r") if path.stat().st_size else np.empty(0, np.uint32)

    def fill(
        self,
        batches: Iterable[list[str]],
        minhash: MinHash,
        shingle: int,
        threads: int | None,
        report: Callable[[int], None],
    ) -> None:
        """Hash every text and keep what `linked` needs; the files are the same for any number of threads."""
        hasher = Hasher(shingle)
        self.bands = [self.folder / f"band-{number}" for number in range(1 + minhash.bands)]
        sizes, done = [np.zeros(1, np.int64)], 0

        def work(texts: list[str]) -> Hashed:
            bags = hasher.bags(texts)
            full = np.flatnonzero(bags.sizes)
            keys = np.zeros((1 + minhash.bands, len(texts)), np.uint64)
            if len(full):
                keys[:, full] = minhash.keys(bags.words, np.cumsum(bags.sizes[full]) - bags.sizes[full])
            return bags, keys

        with ExitStack() as stack:
            words = stack.enter_context((self.folder / "words").open("wb"))
            bands = [stack.enter_context(path.open("wb")) for path in self.bands]
            for bags, keys in _in_order(work, _blocks(batches), threads or len(os.sched_getaffinity(0))):
                bags.words.tofile(words)
                for band, key in zip(bands, keys, strict=True):
                    key.tofile(band)
                sizes.append(bags.sizes)
                done += len(bags.sizes)
                report(done)
        self.starts = np.cumsum(np.concatenate(sizes))


def _blocks(batches: Iterable[list[str]]) -> Iterator[list[str]]:
    """The same texts in lists of a size that is quick and bounded."""
    block: list[str] = []
    characters = 0
    for batch in batches:
        for text in batch:
            block.append(text)
            characters += len(text)
            if len(block) == _TEXTS or characters >= _CHARACTERS:
                yield block
                block, characters = [], 0
    if block:
        yield block


def _in_order(work: Callable[[list[str]], Hashed], blocks: Iterable[list[str]], threads: int) -> Iterator[Hashed]:
    """`map` over a few blocks ahead, results in the order of blocks."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Hashed]] = deque()
        for block in blocks:
            waiting.append(pool.submit(work, block))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
