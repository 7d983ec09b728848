"""Parquet files whole, and columns for them, without pandas: half the start of a stage that does no more than that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def read_table(file: Path) -> Any:
    """The table in `file`, as pyarrow's `read_table` gives it of one file.

    pyarrow's looks for folders of files first, by a module that loads pandas. Raises `FileNotFoundError` if there is
    none, and pyarrow's error with the file's name if it cannot be read.
    """
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as parquet:
            return parquet.read()
    except ArrowInvalid as error:
        raise ArrowInvalid(f"{file}: {error}") from error


def write_table(file: Path, columns: dict[str, Any]) -> None:
    """Write pyarrow arrays of one length as a Parquet file, each as the column of its name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), file)


def column(values: Sequence[Any], kind: Any) -> Any:
    """`pa.array(values, kind)` of a list, for texts, whole numbers and floats, each of which may be None.

    pyarrow's asks whether the values are a column of pandas', and loads it for that.
    """
    import pyarrow as pa

    present = np.fromiter((value is not None for value in values), bool, len(values))
    valid = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
    if kind == pa.string():
        texts = [b"" if value is None else value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])
    numbers = np.array(
        [0 if value is None else value for value in values], {pa.int64(): "<i8", pa.float64(): "<f8"}[kind]
    )
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(numbers)])
