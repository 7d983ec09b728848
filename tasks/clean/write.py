"""Canonical rows and those that left, as Parquet whose bytes depend on the rows only."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tasks.contract.files import written

ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("slice", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("text", pa.string()),
    ]
)
"""Columns of every split."""

SOMETIMES = ("tools", "tool_calls")
"""Columns of JSON text that a split has only where one of its rows does."""

LEFT_OUT = pa.schema([("reason", pa.string()), ("file", pa.string()), ("line", pa.int64()), ("row", pa.string())])


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one split."""
    schema = ROWS
    for name in SOMETIMES:
        if any(row[name] is not None for row in rows):
            schema = schema.append(pa.field(name, pa.string()))
    _write(path, pa.Table.from_pylist(rows, schema))


def write_left_out(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows that left, each with its reason and its place."""
    clear = [{**row, "row": row["row"].encode("utf-8", "backslashreplace").decode()} for row in rows]
    _write(path, pa.Table.from_pylist(clear, LEFT_OUT))


def _write(path: Path, table: pa.Table) -> None:
    with written(path) as aside:
        parquet.write_table(table, aside, compression="zstd")
