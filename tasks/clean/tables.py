"""Records of tables: Parquet and Arrow files, some rows in memory at once."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.bounds.child import in_child
from tasks.clean.files import Source
from tasks.clean.formats import Format, open_decompressed
from tasks.clean.record import Record
from tasks.core.errors import InputError

BATCH = 1024
"""Rows of a table that are in memory at once."""

EXPANSION = 300
"""How many bytes, and rows, there may be for each byte of a file, beyond the two amounts below."""

BYTES, ROWS = 2**28, 10**6
"""Bytes and rows that any file may unpack to."""

SECONDS, SPEED = 30.0, 2**20
"""Of computing to look through any file, and how many bytes of one get a second more."""

MEMORY = 2**31
"""Bytes that looking through a file may take."""

Batches = Callable[[], AbstractContextManager[Iterator[Any]]]
"""Opens a file and yields its batches, as pyarrow has them."""


@dataclass(frozen=True)
class TableRows:
    """Some rows of a table, as pyarrow has them."""

    first: int
    """Number of the first one, from 1."""
    batch: Any

    @property
    def rows(self) -> int:
        return int(self.batch.num_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the rest of the batch, which would go with its slice."""
        return _read_rows, (self.first, self.batch.serialize(), self.batch.schema)


def _read_rows(first: int, serialized: Any, schema: Any) -> TableRows:
    import pyarrow as pa

    return TableRows(first, pa.ipc.read_record_batch(serialized, schema))


def from_parquet(source: Source) -> Iterator[TableRows]:
    """The rows of a Parquet file; `InputError` where it is none, lies, or unpacks to far too much."""
    from pyarrow import parquet

    @contextmanager
    def batches() -> Iterator[Iterator[Any]]:
        with parquet.ParquetFile(source.path) as file:
            yield file.iter_batches(BATCH, use_threads=False)

    return _records(source, batches, "Parquet")


def from_arrow(source: Source, format: Format) -> Iterator[TableRows]:
    """The rows of an Arrow file or stream; `InputError` where it is none, lies, or unpacks to far too much."""
    import pyarrow as pa

    @contextmanager
    def batches() -> Iterator[Iterator[Any]]:
        if format.kind == "arrow":
            with pa.memory_map(str(source.path)) as mapped, pa.ipc.open_file(mapped) as reader:
                yield (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            with open_decompressed(source.path, format.compression) as file, pa.ipc.open_stream(file) as reader:
                yield iter(reader)

    return _records(source, batches, "Arrow")


def _records(source: Source, batches: Batches, kind: str) -> Iterator[TableRows]:
    """The rows, after a look through the file in another process: pyarrow dies of some files that lie."""
    import pyarrow as pa

    size = source.path.stat().st_size

    def refuse(why: str) -> InputError:
        return InputError(f"{source.path}: not a readable {kind} file ({why}); create it again, or remove it.")

    in_child(lambda: _look_through(source, batches, size), SECONDS + size / SPEED, refuse, MEMORY)
    try:
        with batches() as opened:
            yield from _parts(opened)
    except (pa.ArrowException, OSError) as error:
        raise refuse(str(error)) from None


def _look_through(source: Source, batches: Batches, size: int) -> None:
    amount = rows = 0
    with batches() as opened:
        for batch in opened:
            for column in batch.columns:
                _check_lengths(column)
                amount += _unpacked(column)
            rows += batch.num_rows
            if amount > max(BYTES, EXPANSION * size) or rows > max(ROWS, EXPANSION * size):
                raise InputError(
                    f"{source.path}: decompresses to more than {EXPANSION} times its size, {rows:,} rows of {amount:,} "
                    "bytes so far; if that is right, write it again without a dictionary."
                )


def _check_lengths(column: Any) -> None:
    """Raise pyarrow's error where offsets point outside; that a text is no UTF-8 is a fault of its row, not of all."""
    import pyarrow as pa

    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise


def _unpacked(column: Any) -> int:
    """Bytes of the values of a column, those of a dictionary each time that they stand for a row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        values = column.dictionary
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_binary(values.type):
            return int(pc.sum(pc.binary_length(values).take(column.indices)).as_py() or 0)
        return int(len(column) * max(1, values.nbytes // max(1, len(values))))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return 4 * len(column) + _unpacked(column.flatten())
    if pa.types.is_struct(kind):
        return sum(map(_unpacked, column.flatten()))
    return int(column.nbytes)


def _parts(batches: Any) -> Iterator[TableRows]:
    number = 1
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH):
            rows = batch.slice(start, BATCH)
            yield TableRows(number, rows)
            number += rows.num_rows


def rows(source: Source, part: TableRows) -> Iterator[Record]:
    """The records of some rows."""
    try:
        values = part.batch.to_pylist()
    except UnicodeDecodeError:
        yield from (_encoded(source, part.first + at, part.batch.slice(at, 1)) for at in range(part.rows))
        return
    for number, value in enumerate(values, part.first):
        yield Record(source, number, value)


def _encoded(source: Source, number: int, row: Any) -> Record:
    """The record of a table with one row, in which texts may be no UTF-8."""
    readable = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            readable[name] = column[0].as_py()
        except UnicodeDecodeError:
            continue
    if len(readable) == row.num_columns:
        return Record(source, number, readable)
    return Record(source, number, None, json.dumps(readable, ensure_ascii=False, default=str), "bad_encoding")
