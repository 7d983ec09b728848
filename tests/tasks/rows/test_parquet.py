"""Columns and tables are pyarrow's own, made without pandas."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.rows.parquet import column, read_table, write_table
from tests.flows.project import ROOT

COLUMNS: list[tuple[list[Any], Any]] = [
    (["a", "", "é 字 🙂", "\x00\n"], pa.string()),
    ([None, "a", None, ""] * 5, pa.string()),
    ([0, -1, 2**62], pa.int64()),
    ([None, 3], pa.int64()),
    ([0.1, float("nan"), float("inf"), 1], pa.float64()),
    ([None] * 9 + [2.5], pa.float64()),
    ([], pa.string()),
    ([], pa.float64()),
]


@pytest.mark.parametrize(("values", "kind"), COLUMNS)
def test_a_column_is_that_of_pyarrow(values: list[Any], kind: Any, tmp_path: Path) -> None:
    ours, theirs = column(values, kind), pa.array(values, kind)
    ours.validate(full=True)
    assert ours.null_count == theirs.null_count
    assert str(ours) == str(theirs)
    write_table(tmp_path / "ours.parquet", {"column": ours})
    pq.write_table(pa.table({"column": theirs}), tmp_path / "theirs.parquet")
    assert (tmp_path / "ours.parquet").read_bytes() == (tmp_path / "theirs.parquet").read_bytes()
    assert read_table(tmp_path / "ours.parquet").schema == pa.schema([("column", kind)])


def test_pandas_is_not_loaded(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import pyarrow as pa
from tasks.rows.parquet import column, read_table, write_table
file = Path({str(tmp_path / "table.parquet")!r})
write_table(file, {{"text": column(["a", None], pa.string()), "number": column([1, 2], pa.int64())}})
assert read_table(file).to_pylist() == [{{"text": "a", "number": 1}}, {{"text": None, "number": 2}}]
sys.exit("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
