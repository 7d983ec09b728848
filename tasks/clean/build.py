"""Pieces of the input to rows and the numbers by which they are compared, many pieces at once, in their order."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.clean import keys
from tasks.clean.files import Source
from tasks.clean.notes import Notes
from tasks.clean.pieces import Piece, pieces, same_depth, travels
from tasks.clean.row import RowBuilder
from tasks.clean.settings import Settings
from tasks.clean.write import SCRATCH
from tasks.engine.chosen import Engine


@dataclass(frozen=True)
class Built:
    """What was made of the records of a piece."""

    rows: pa.RecordBatch
    """Lines of the scratch file, a line a record."""
    characters: Any
    """Of each record as it came, `[n]`."""
    keys: Any
    """The numbers of each record, `[n]` of `keys.DTYPE`."""
    notes: Notes

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (self.rows.serialize(), self.characters, self.keys, self.notes)


def _read(rows: Any, characters: Any, numbers: Any, notes: Notes) -> Built:
    return Built(pa.ipc.read_record_batch(rows, SCRATCH), characters, numbers, notes)


class Work:
    """Builds the rows of a piece. What travels is the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._builder = RowBuilder(settings)

    def __call__(self, piece: Piece | Built) -> Built:
        """What is made of `piece`; what is made already stays as it is."""
        if isinstance(piece, Built):
            return piece
        builder = self._builder
        builder.notes = builder.fresh_notes()
        with same_depth():
            records = list(piece.records())
        with same_depth(1):  # its steps are one call further down
            rows, numbers = zip(*builder.build(records), strict=True)
        characters = np.array([len(row["row"]) for row in rows], np.int64)
        batch = pa.RecordBatch.from_pylist(list(rows), SCRATCH)
        return Built(batch, characters, np.array(list(numbers), keys.DTYPE), builder.notes)

    def __reduce__(self) -> tuple[Any, ...]:
        return Work, (self._settings,)


def built(files: Iterable[Source], settings: Settings, engine: Engine) -> Iterator[tuple[int, Built]]:
    """What becomes of the records of all files, piece by piece, each with the number of the file (from 1)."""
    work, numbers = Work(settings), deque[int]()

    def waiting() -> Iterator[Piece | Built]:
        for number, source in enumerate(files, 1):
            for piece in pieces(source):
                numbers.append(number)
                yield piece if travels(piece) else work(piece)

    for part in engine.ordered(work, waiting()):
        yield numbers.popleft(), part
