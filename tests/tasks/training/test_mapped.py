"""Rows are mapped, not read: what the process itself holds does not grow with the data file."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.training.rows import count, load

TOKENS, BATCHES = 500, 25


def held() -> int:
    """Bytes of this process that are no pages of a file."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line)
    return int(line.split()[1]) * 1024


def write(path: Path) -> None:
    """25,000 rows of 500 tokens, all with a loss: 100 MB."""
    schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
    edges = np.arange(0, 1001 * TOKENS, TOKENS, dtype=np.int32)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for number in range(BATCHES):
            ids = pa.ListArray.from_arrays(edges, np.full(edges[-1], number, np.int32))
            stream.write_batch(pa.record_batch([ids, ids], schema=schema))


def test_loading_counting_and_drawing_rows_hold_a_tenth_of_the_file_at_most(tmp_path: Path) -> None:
    path = tmp_path / "train.arrow"
    write(path)
    load(path)  # libraries are imported
    before = held()
    rows = load(path)
    counts = count(rows)
    drawn = [rows[number]["input_ids"][0] for number in range(0, counts.rows, 97)]
    growth = held() - before
    assert (counts.rows, counts.tokens) == (BATCHES * 1000, BATCHES * 1000 * TOKENS)
    assert drawn == [number // 1000 for number in range(0, counts.rows, 97)]
    assert growth < path.stat().st_size / 10
