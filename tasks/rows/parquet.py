"""Parquet files whole, without pandas."""

from pathlib import Path
from typing import Any


def read_table(file: Path) -> Any:
    """The table in `file`, as pyarrow's `read_table` gives it of one file.

    pyarrow's looks for folders of files first, by a module that loads pandas: half the start of a stage that does no
    more than read tables. Raises `FileNotFoundError` where there is none.
    """
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as parquet:
        return parquet.read()
