"""Rows as they stand in a file, and as records."""

from typing import Any

import pyarrow as pa

ROW = 500
"""Bytes whose tokens take as long as the rest of the work on a row."""

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
    return list(rows.to_pylist() if isinstance(rows, pa.RecordBatch) else rows)


def weight(rows: Batch) -> int:
    """How much work the rows are: their bytes, and `ROW` for each of them; a kilobyte stands for that of a record."""
    return ROW * len(rows) + (int(rows.nbytes) if isinstance(rows, pa.RecordBatch) else 1000 * len(rows))
