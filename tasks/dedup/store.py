"""What is known of each text, in files: its set of words, and the key of each of its bands."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.dedup.bags import Bags, Hasher
from tasks.dedup.memmap import blocks, open_array, part_count
from tasks.dedup.minhash import MinHash

_TEXTS, _CHARACTERS = 4_096, 4_000_000
"""Most texts that are hashed at once, and the characters after which no more are added."""

_HALF = np.uint64(32)

Rows = npt.NDArray[np.int64]

Hashed = tuple[Bags, npt.NDArray[np.uint64]]

InOrder = Callable[[Callable[[list[str]], Hashed], Iterable[list[str]]], Iterator[Hashed]]
"""`map`, carried out by threads, processes or a cluster."""


class Signing:
    """Makes the sets and the bands' keys of some texts."""

    def __init__(self, minhash: MinHash, shingle: int) -> None:
        self._minhash, self._hasher = minhash, Hasher(shingle)

    def __call__(self, texts: list[str]) -> Hashed:
        """The sets, and the keys `[1 + bands, n]`."""
        bags = self._hasher.bags(texts)
        full = np.flatnonzero(bags.sizes)
        keys = np.zeros((1 + self._minhash.bands, len(texts)), np.uint64)
        if len(full):
            keys[:, full] = self._minhash.keys(bags.words, np.cumsum(bags.sizes[full]) - bags.sizes[full])
        return bags, keys


class Store:
    """Files in a folder of its own, in the order of texts: `words` (uint32); `starts` (int64, where each text's words
    begin, and where the last end); and one for each `band` (uint64)."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written before `fill`."""
        self.folder = folder
        self.bands: list[Path] = []
        self.starts: npt.NDArray[np.int64] = np.zeros(1, np.int64)

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.starts) - 1

    def sizes(self, rows: Rows) -> Rows:
        """Number of words in the set of each of `rows`."""
        sizes: Rows = self.starts[rows + 1] - self.starts[rows]
        return sizes

    def bags(self, rows: Rows) -> Bags:
        """The sets of `rows`. They are read one by one, for a mapped file's pages around each would add up."""
        sizes = self.sizes(rows)
        with (self.folder / "words").open("rb", buffering=0) as file:
            size = np.dtype(np.uint32).itemsize
            places = zip((sizes * size).tolist(), (self.starts[rows] * size).tolist(), strict=True)
            read = [os.pread(file.fileno(), length, begin) for length, begin in places]
        return Bags(np.frombuffer(b"".join(read), np.uint32), sizes)

    def full(self) -> Iterator[tuple[slice, npt.NDArray[np.bool_]]]:
        """Which texts have words, a block at a time."""
        for block in blocks(len(self), self.starts):
            yield block, np.diff(self.starts[block.start : block.stop + 1]) > 0

    def keys(self, band: int, rows: Rows) -> npt.NDArray[np.uint64]:
        """The keys of `rows` in a band."""
        keys: npt.NDArray[np.uint64] = open_array(self.bands[band], np.uint64)[rows]
        return keys

    def parts(self, band: int, chosen: npt.NDArray[np.bool_]) -> Iterator[tuple[npt.NDArray[np.uint64], Rows]]:
        """Keys in a band, and numbers, of the texts that are chosen; equal keys come together."""
        count = part_count(len(self))
        all_keys = open_array(self.bands[band], np.uint64)
        for part in range(count):
            pieces = [(np.empty(0, np.uint64), np.empty(0, np.int64))]
            for block in blocks(len(self), all_keys, chosen):
                keys = all_keys[block]
                places = np.flatnonzero(((keys >> _HALF) * np.uint64(count) >> _HALF == part) & chosen[block])
                pieces.append((keys[places], places + block.start))
            keys, rows = (np.concatenate(column) for column in zip(*pieces, strict=True))
            if len(rows):
                yield keys, rows

    def fill(self, signed: Iterable[Hashed], bands: int, report: Callable[[int], None]) -> None:
        """Keep what `link_clusters` needs of the sets of all texts, with the keys of so many `bands` and of the set."""
        self.bands = [self.folder / f"band-{number}" for number in range(1 + bands)]
        done, end = 0, 0

        with ExitStack() as stack:
            words = stack.enter_context((self.folder / "words").open("wb"))
            starts = stack.enter_context((self.folder / "starts").open("wb"))
            np.zeros(1, np.int64).tofile(starts)
            files = [stack.enter_context(path.open("wb")) for path in self.bands]
            for bags, keys in signed:
                bags.words.tofile(words)
                for file, key in zip(files, keys, strict=True):
                    key.tofile(file)
                (end + np.cumsum(bags.sizes)).tofile(starts)
                end += len(bags.words)
                done += len(bags.sizes)
                report(done)
        self.starts = open_array(self.folder / "starts", np.int64)


def blocks_of_texts(batches: Iterable[list[str]]) -> Iterator[list[str]]:
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


def by_threads(threads: int) -> InOrder:
    """`map` by so many threads over a few blocks ahead, results in the order of blocks."""

    def in_order(work: Callable[[list[str]], Hashed], blocks: Iterable[list[str]]) -> Iterator[Hashed]:
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[Hashed]] = deque()
            for block in blocks:
                waiting.append(pool.submit(work, block))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    return in_order
