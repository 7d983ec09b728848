"""Records of tables: Parquet and Arrow files, some rows in memory at once."""

import json
from collections.abc import Iterator
from typing import Any

from tasks.clean.files import Source
from tasks.clean.formats import Format, open_decompressed
from tasks.clean.record import Record
from tasks.core.errors import InputError

BATCH = 1024
"""Rows of a table that are in memory at once."""


def from_parquet(source: Source) -> Iterator[Record]:
    """The rows of a Parquet file; `InputError` where it is none."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source.path) as file:
            yield from _rows(source, file.iter_batches(BATCH))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{source.path}: not a readable Parquet file: {error}") from None


def from_arrow(source: Source, format: Format) -> Iterator[Record]:
    """The rows of an Arrow file or stream; `InputError` where it is none."""
    import pyarrow as pa

    try:
        if format.kind == "arrow":
            with pa.memory_map(str(source.path)) as mapped, pa.ipc.open_file(mapped) as reader:
                yield from _rows(source, (reader.get_batch(index) for index in range(reader.num_record_batches)))
        else:
            with open_decompressed(source.path, format.compression) as file, pa.ipc.open_stream(file) as reader:
                yield from _rows(source, reader)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{source.path}: not a readable Arrow file: {error}") from None


def _rows(source: Source, batches: Any) -> Iterator[Record]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH):
            rows = batch.slice(start, BATCH)
            try:
                values = rows.to_pylist()
            except UnicodeDecodeError:
                yield from (_encoded(source, number + at + 1, rows.slice(at, 1)) for at in range(rows.num_rows))
                number += rows.num_rows
                continue
            for value in values:
                number += 1
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
