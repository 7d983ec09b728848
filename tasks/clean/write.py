"""Canonical rows and those that left, as Parquet whose bytes depend on the rows only, a batch at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from tasks.clean.content import excerpt
from tasks.clean.split import SPLITS
from tasks.core.files import written
from tasks.rows.canonical import repeated_id

TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string())]))

ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("slice", pa.string()),
        ("messages", TURNS),
        ("text", pa.string()),
    ]
)
"""Columns of every split."""

OPTIONAL = pa.schema(
    [
        ("prompt", TURNS),
        ("chosen", TURNS),
        ("rejected", TURNS),
        ("completion", TURNS),
        ("label", pa.bool_()),
        ("tools", pa.string()),
        ("weight", pa.float64()),
    ]
)
"""Columns that the splits have only where one of the rows does."""

ORDER = "order"
"""Column with the value of `order_key`, a number or a text, where that is set."""

LEFT_OUT = pa.schema([("reason", pa.string()), ("file", pa.string()), ("line", pa.int64()), ("row", pa.string())])

REPORTED = pa.schema(
    [
        ("finding", pa.string()),
        ("id", pa.string()),
        ("split", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("shown", pa.string()),
    ]
)
"""A line for each thing that was found in a row that stays, with the passage in question."""

FINDINGS = pa.list_(pa.struct([("finding", pa.string()), ("shown", pa.string())]))

SCRATCH = pa.schema(
    [
        *ROWS,
        *OPTIONAL,
        (ORDER, pa.string()),
        ("request", pa.string()),
        ("whole", pa.string()),
        ("found", FINDINGS),
        *LEFT_OUT,
    ]
)
"""Columns of the scratch file, in which records wait until it is known what becomes of them."""

MOST_ROWS, MOST_CHARACTERS = 4096, 2**24
"""Records, and characters of them, that are in memory before they are written."""


MOST_BYTES = 2**23
"""Bytes of rows that make a row group of a file."""


class Scratch:
    """Records on their way, in the order in which they were read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
        self._writer = pa.ipc.new_file(str(path), SCRATCH, options=options)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._characters = 0

    def add(self, rows: pa.RecordBatch, characters: Any) -> None:
        """Append records; `characters`, `[n]`, are those of each as it came.

        Batches of the file end at the same records however the records came: what is read of it does not tell.
        """
        while rows.num_rows:
            room = MOST_ROWS - self._rows
            beyond = np.searchsorted(np.cumsum(characters[:room]), MOST_CHARACTERS - self._characters, "right")
            taken = min(int(beyond) + 1, room, rows.num_rows)
            self._waiting.append(rows.slice(0, taken))
            self._rows += taken
            self._characters += int(characters[:taken].sum())
            rows, characters = rows.slice(taken), characters[taken:]
            if self._rows == MOST_ROWS or self._characters > MOST_CHARACTERS:
                self._flush()

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def texts(self, column: str, wanted: Any) -> Iterator[str]:
        """The texts in `column` of the records that are `wanted` (a boolean for each record), in order."""
        for texts in self.some_texts(column, wanted):
            yield from texts.to_pylist()

    def some_texts(self, column: str, wanted: Any) -> Iterator[pa.Array]:
        """The same, some at a time, as pyarrow has them."""
        for start, batch in self.batches([column]):
            chosen = wanted[start : start + batch.num_rows]
            if chosen.any():
                yield batch.column(column).combine_chunks().filter(pa.array(np.asarray(chosen)))

    def batches(
        self, columns: list[str] | None = None, only: dict[int, int] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """The records in order, some at a time, each time with the place of the first.

        `only`: number of a batch -> place of its first record, for those that are wanted.
        """
        start = 0
        fields = None if columns is None else [SCRATCH.get_field_index(column) for column in columns]
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields)
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_file(file, options=options) as reader:
            for number in range(reader.num_record_batches) if only is None else only:
                batch = pa.Table.from_batches([reader.get_batch(number)])
                yield start if only is None else only[number], batch
                start += batch.num_rows

    def _flush(self) -> None:
        if self._waiting:
            (whole,) = pa.Table.from_batches(self._waiting).combine_chunks().to_batches()
            self._writer.write_batch(whole)
        self._waiting = []
        self._rows = self._characters = 0


@contextmanager
def open_split_writers(folder: Path, optional: set[str], order: pa.DataType | None = None) -> Iterator["SplitWriters"]:
    """Write the files of all splits, of what left and of what was found; they appear when all are complete.

    `order`: type of the column of that name, where there is one.
    """
    last = [pa.field(ORDER, order)] if order else []
    schema = pa.schema([*ROWS, *(field for field in OPTIONAL if field.name in optional), *last])
    beside = (("left_out", LEFT_OUT), ("reported", REPORTED))
    with ExitStack() as stack:
        files = {}
        for name, columns in (*((split, schema) for split in SPLITS), *beside):
            aside = stack.enter_context(written(folder / f"{name}.parquet"))
            writer = stack.enter_context(parquet.ParquetWriter(aside, columns, compression="zstd"))
            files[name] = stack.enter_context(RowGroupWriter(writer))
        yield SplitWriters(files, schema)


def renamed_in(batch: pa.Table, start: int, numbers: dict[int, int]) -> dict[int, str]:
    """Place in the batch -> id, of records whose id stands there before; `numbers`: place of all -> how often, with
    this one; `start`: the place of the batch's first record."""
    ids = batch.column("id")
    return {
        at: f"{ids[at]}-{numbers[start + at]}"
        for at in range(batch.num_rows if numbers else 0)
        if start + at in numbers
    }


def report_rows(
    batch: pa.Table, reasons: list[str | None], splits: Any, names: dict[int, str], conflicting: Any
) -> list[dict[str, Any]]:
    """Lines of `REPORTED` for a batch: what was found in each record that stays; `conflicting`: answers conflict.

    A conflict in the test, say, is `conflicting_answers_of_test`: it limits what any model can reach there.
    """
    listed = pc.is_valid(batch.column("found")).to_numpy() | conflicting[: batch.num_rows]
    lines = []
    for at in np.flatnonzero(listed).tolist():
        if reasons[at] is not None:
            continue
        findings = batch.column("found")[at].as_py() or []
        if conflicting[at]:
            held_out = f"_of_{SPLITS[splits[at]]}" if splits[at] else ""
            shown = excerpt(batch.column("whole")[at].as_py())
            findings.append({"finding": f"conflicting_answers{held_out}", "shown": shown})
        origin = {
            "id": names.get(at, batch.column("id")[at].as_py()),
            "split": SPLITS[splits[at]],
            "file": batch.column("file")[at].as_py(),
            "line": batch.column("line")[at].as_py(),
        }
        lines += [{**origin, **one} for one in findings]
    return lines


class RowGroupWriter:
    """Writes to a Parquet file in large row groups, for of each the writer keeps a record until the end."""

    def __init__(self, writer: parquet.ParquetWriter) -> None:
        self._writer = writer
        self._waiting: list[pa.Table] = []
        self._bytes = 0

    def add(self, table: pa.Table) -> None:
        """Append the rows of a table."""
        self._waiting.append(table)
        self._bytes += table.nbytes
        if self._bytes >= MOST_BYTES:
            self._flush()

    def __enter__(self) -> "RowGroupWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._bytes = [], 0


class SplitWriters:
    """Sends each record of a batch to its file."""

    def __init__(self, files: dict[str, RowGroupWriter], schema: pa.Schema) -> None:
        self._files = files
        self._schema = schema

    def write(
        self,
        batch: pa.Table,
        reasons: list[str | None],
        splits: Any,
        names: dict[int, str],
        report: list[dict[str, Any]],
        times: Any,
    ) -> None:
        """`reasons`: why each record leaves, or None; `splits`: number of its split; `names`: place -> another id;
        `report`: what was `report_rows` in those that stay; `times`: how often each record that stays is written."""
        if report:
            self._files["reported"].add(pa.Table.from_pylist(report, REPORTED))
        stays = np.array([reason is None for reason in reasons], dtype=bool)
        for number, split in enumerate(SPLITS):
            of_split = np.where(stays & (splits == number), times, 0)
            for again in range(int(of_split.max(initial=0))):
                self.add(split, self.rows(split, batch, np.flatnonzero(of_split > again), names, again))
        left = batch.set_column(batch.schema.get_field_index("reason"), "reason", pa.array(reasons, pa.string()))
        left = left.filter(pc.is_valid(left.column("reason")))
        if left.num_rows:
            self._files["left_out"].add(left.select(LEFT_OUT.names))

    def rows(self, split: str, batch: pa.Table, at: Any, names: dict[int, str], again: int = 0) -> pa.Table:
        """The records at the places `at` as rows of `split`; `again`: how often they stand there already."""
        part = batch.take(pa.array(at))
        if again or names:
            ids = part.column("id").to_pylist()
            ids = [repeated_id(names.get(index, name), again) for index, name in zip(at.tolist(), ids, strict=True)]
            part = part.set_column(0, "id", pa.array(ids, pa.string()))
        part = part.set_column(2, "split", pa.repeat(pa.scalar(split), part.num_rows))
        return part.select(self._schema.names).cast(self._schema)

    def add(self, split: str, rows: pa.Table) -> None:
        """Append rows to the file of a split."""
        self._files[split].add(rows)
