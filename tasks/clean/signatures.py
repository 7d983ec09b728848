"""Sets of words and their bands' keys on their way, in files: they are made before it is known which texts count.

Shapes: `N` texts, `K` bands.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.dedup.bags import Bags, spans
from tasks.dedup.store import Hashed

_TEXTS, _WORDS = 4_096, 1_000_000
"""Texts that are read at once, and the words of theirs beyond which there are fewer."""


class Signatures:
    """What `tasks.dedup.store.Signing` makes of texts, in order; to be written first, and read when it is closed."""

    def __init__(self, folder: Path, bands: int) -> None:
        """`folder`: which there is; three files in it are written. `bands`: keys of a text (1 + K)."""
        self._paths = [folder / f"signatures-{name}" for name in ("words", "sizes", "keys")]
        self._bands, self._count = bands, 0
        self._stack = ExitStack()
        self._files = [self._stack.enter_context(path.open("wb")) for path in self._paths]

    def __enter__(self) -> "Signatures":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, signed: Hashed) -> None:
        """Append the sets and keys `[1 + K, n]` of some texts."""
        bags, keys = signed
        words, sizes, rows = self._files
        bags.words.tofile(words)
        bags.sizes.tofile(sizes)
        np.ascontiguousarray(keys.T).tofile(rows)
        self._count += len(bags.sizes)

    def those(self, wanted: npt.NDArray[np.bool_]) -> Iterator[Hashed]:
        """Sets and keys of the texts that are `wanted` (N), some at a time."""
        with ExitStack() as stack:
            words, sizes, keys = (stack.enter_context(path.open("rb")) for path in self._paths)
            for start in range(0, self._count, _TEXTS):
                block = np.fromfile(sizes, np.int64, min(_TEXTS, self._count - start))
                keep = np.asarray(wanted[start : start + len(block)])
                for span in spans(block, _WORDS):
                    some, chosen = block[span], keep[span]
                    bag = np.fromfile(words, np.uint32, int(some.sum()))
                    rows = np.fromfile(keys, np.uint64, len(some) * self._bands).reshape(-1, self._bands)
                    if not chosen.all():
                        some, bag, rows = some[chosen], bag[np.repeat(chosen, some)], rows[chosen]
                    if len(some):
                        yield Bags(bag, some), rows.T

    def remove(self) -> None:
        """Remove the files."""
        for path in self._paths:
            path.unlink()
