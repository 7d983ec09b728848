"""Pieces of the input to rows and the numbers by which they are compared, many pieces at once, in their order."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.clean import keys
from tasks.clean.built import Built
from tasks.clean.files import Source
from tasks.clean.pieces import Piece, pieces, same_depth, travels
from tasks.clean.row import RowBuilder
from tasks.clean.settings import Settings
from tasks.clean.write import SCRATCH
from tasks.core.paths import Paths
from tasks.dedup.minhash import MinHash
from tasks.dedup.store import Signing
from tasks.engine.chosen import Engine
from tasks.rows.parts import Parts

BETWEEN_ROWS = frozenset(
    {
        "input", "hub", "splits", "mix", "interleave", "validation_share", "test_share", "duplicates",
        "near_duplicate", "passage", "benchmarks", "conflicts", "max_loss",
    }
)  # fmt: skip
"""Settings that decide between rows only: what is made of a piece does not depend on them."""


class Work:
    """Builds the rows of a piece, unless an earlier run left them. What travels: settings, and where parts lie."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings, self._parts = settings, parts
        self._builder = RowBuilder(settings)
        threshold = settings.near_duplicates_within
        self._sign = None if threshold is None else Signing(MinHash.at(threshold, seed=0), shingle=1)

    def __call__(self, piece: Piece | Built) -> Built:
        """What is made of `piece`; what is made already stays as it is."""
        if isinstance(piece, Built):
            return piece
        if not self._parts.kept:
            return self.make(piece)
        key = self._parts.key(piece.content())
        if (content := self._parts.get(key)) is not None:
            return Built.read(content, self._builder.fresh_notes())
        built = self.make(piece)
        self._parts.put(key, built.as_bytes())
        return built

    def make(self, piece: Piece) -> Built:
        """What is made of `piece`, anew."""
        builder = self._builder
        builder.notes = builder.fresh_notes()
        with same_depth():
            records = list(piece.records())
        with same_depth(1):  # its steps are one call further down
            rows, numbers = zip(*builder.build(records), strict=True)
        characters = np.array([len(row["row"]) for row in rows], np.int64)
        signed = None if self._sign is None else self._sign([row.get("whole") or "" for row in rows])
        batch = pa.RecordBatch.from_pylist(list(rows), SCRATCH)
        return Built(batch, characters, np.array(list(numbers), keys.DTYPE), builder.notes, signed)

    def __reduce__(self) -> tuple[Any, ...]:
        return Work, (self._settings, self._parts)


def parts_of(settings: Settings, paths: Paths) -> Parts:
    """What earlier runs made of pieces by settings that would make the same of them now."""
    return Parts.of(paths, "clean", settings.model_dump(mode="json", exclude=set(BETWEEN_ROWS)))


def built(files: Iterable[Source], settings: Settings, engine: Engine, parts: Parts) -> Iterator[tuple[int, Built]]:
    """What becomes of the records of all files, piece by piece, each with the number of the file (from 1)."""
    work, numbers = Work(settings, parts), deque[int]()

    def waiting() -> Iterator[Piece | Built]:
        for number, source in enumerate(files, 1):
            for piece in pieces(source):
                numbers.append(number)
                yield piece if travels(piece) else work.make(piece)

    for part in engine.ordered(work, waiting()):
        yield numbers.popleft(), part
