"""Rows as they stand in a file, and as records."""

from itertools import islice
from typing import Any

import pyarrow as pa

Batch = Any
"""Canonical rows, as records or as they stand in a file."""


def alone(part: Batch) -> Batch:
    """The rows without the rest of the batch, which would go to a worker with them."""
    return pa.ipc.read_record_batch(part.serialize(), part.schema) if isinstance(part, pa.RecordBatch) else part


def ids(rows: Batch) -> list[str]:
    """The ids of the rows."""
    if isinstance(rows, pa.RecordBatch):
        return list(rows.column("id").to_pylist())
    return [str(row["id"]) for row in rows]


def joined(first: Batch, second: Batch) -> Batch:
    """The rows of both."""
    return pa.concat_batches([first, second]) if isinstance(first, pa.RecordBatch) else [*first, *second]


def records(rows: Batch) -> list[dict[str, Any]]:
    """The rows as records."""
    return from_arrow(rows) if isinstance(rows, pa.RecordBatch) else list(rows)


def from_arrow(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch, as `to_pylist` gives them, at a fraction of its time."""
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    if pa.types.is_string(column.type):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    if not pa.types.is_list(column.type) or not pa.types.is_struct(column.type.value_type):
        return list(column.to_pylist())
    inner = column.flatten()
    names = [field.name for field in column.type.value_type]
    fields = [_values(part) for part in inner.flatten()]
    turns = iter([dict(zip(names, turn, strict=True)) for turn in zip(*fields, strict=True)])
    return [None if length is None else list(islice(turns, length)) for length in column.value_lengths().to_pylist()]
