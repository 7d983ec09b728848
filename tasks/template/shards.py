"""Token ids on disk, as the trainers memory-map them: Arrow IPC streams, a record batch at a time."""

from collections.abc import Iterator
from collections.abc import Sequence as Rows
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.core.files import written
from tasks.rows.parquet import column
from tasks.template.outcome import Outcome

IDS = pa.list_(pa.int32())

SEQUENCES = pa.schema([("id", pa.string()), ("input_ids", IDS), ("labels", IDS)])
"""Rows for losses on tokens; with packing there is a column `pack`, ascending, too, and one `order` where `clean` has
one."""

LENGTHS = pa.field("lengths", IDS)
"""Column of rows for embeddings, which stand one text behind the other: tokens of the question, of the document, and of
each that is a wrong one."""

PREFERENCES = pa.schema([("id", pa.string()), ("prompt_ids", IDS), ("chosen_ids", IDS), ("rejected_ids", IDS)])
"""Pairs: two answers to one prompt, by the names that trl's trainers use."""

JUDGED = pa.schema([("id", pa.string()), ("prompt_ids", IDS), ("completion_ids", IDS), ("label", pa.bool_())])
"""Answers that are good or not."""

BATCH = 250
"""Rows in one record batch."""


class Shards:
    """The three files of a split; they appear when all of them are complete."""

    def __init__(self, folder: Path, split: str, order: pa.DataType | None = None, *, texts: bool = False) -> None:
        """`order`: type of what training goes by, where rows have it. `texts`: rows are several texts each."""
        more = LENGTHS if texts else pa.field("order", order) if order is not None else None
        self._rows = _texts if texts else _ordered_sequences if order is not None else _sequences
        self._places = {
            "sequence": (folder / f"{split}.arrow", SEQUENCES.append(more) if more is not None else SEQUENCES),
            "preference": (folder / "preferences" / f"{split}.arrow", PREFERENCES),
            "judged": (folder / "judged" / f"{split}.arrow", JUDGED),
        }
        self._stack = ExitStack()
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> "Shards":
        for kind, (path, schema) in self._places.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = self._stack.enter_context(written(path))
            sink = self._stack.enter_context(pa.OSFile(str(aside), "wb"))
            self._writers[kind] = self._stack.enter_context(pa.ipc.new_stream(sink, schema))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def put(self, outcomes: list[Outcome]) -> None:
        """Write the rows that go on, a record batch for each kind that there is."""
        going = [outcome for outcome in outcomes if not outcome.reason]
        for kind, row in (("sequence", self._rows), ("preference", _preference), ("judged", _judged)):
            columns_of_rows = [columns for outcome in going if outcome.kind == kind for columns in row(outcome)]
            if columns_of_rows:
                schema = self._places[kind][1]
                columns = map(_column, zip(*columns_of_rows, strict=True), schema.types)
                self._writers[kind].write_batch(pa.RecordBatch.from_arrays(list(columns), schema=schema))


def _column(values: Rows[Any], kind: pa.DataType) -> pa.Array:
    """A column of the batch: lists of token ids come as arrays."""
    if kind == pa.string():
        return column(values, kind)
    if kind != IDS:
        return pa.array(values, kind)
    ends = pa.py_buffer(np.cumsum([0, *map(len, values)], dtype=np.int32))
    ids = np.concatenate(values).astype(np.int32, copy=False)
    numbers = pa.Array.from_buffers(kind.value_type, len(ids), [None, pa.py_buffer(ids)])
    return pa.Array.from_buffers(kind, len(values), [None, ends], children=[numbers])


def _sequences(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    several = len(outcome.sequences) > 1
    for number, part in enumerate(outcome.sequences, 1):
        name = f"{outcome.id}-{number}" if several else outcome.id
        yield name, part.tokens, part.labels


def _ordered_sequences(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    return ((*columns, outcome.order) for columns in _sequences(outcome))


def _texts(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    for columns, part in zip(_sequences(outcome), outcome.sequences, strict=True):
        yield (*columns, np.array(part.lengths, np.int32))


def _preference(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    chosen, rejected = (part.tokens for part in outcome.sequences)
    prompt = outcome.prompt
    yield outcome.id, chosen[:prompt], chosen[prompt:], rejected[prompt:]


def _judged(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    tokens, prompt = outcome.sequences[0].tokens, outcome.prompt
    yield outcome.id, tokens[:prompt], tokens[prompt:], outcome.label
