"""Parquet files whole, without pandas."""

from pathlib import Path
from typing import Any


def read_table(file: Path) -> Any:
    """The table in `file`, as pyarrow's `read_table` gives it of one file.

    pyarrow's looks for folders of files first, by a module that loads pandas: half the start of a stage that does no
    more than read tables. Raises `FileNotFoundError` if there is none, and pyarrow's error with the file's name if it
    cannot be read.
    """
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as parquet:
            return parquet.read()
    except ArrowInvalid as error:
        raise ArrowInvalid(f"{file}: {error}") from error
