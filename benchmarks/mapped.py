"""`mapped`: how much more memory training holds for a data file that is a hundred times as large.

Rows lie in an Arrow file that is mapped, not read: what the process itself holds grows by a few bytes a row. Pages of
the file that were touched are in memory too, but the system takes them back when others want it. Each size goes in a
process of its own; the model is so small that data would show.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from benchmarks.checkout import HERE
from benchmarks.result import Result

GOAL = 0.1
"""Bytes more in the process for a byte more of data."""

TOKENS = 512
ROWS = {"small": (1_000, 100_000), "default": (10_000, 1_000_000)}
"""Rows of both files; a row has 4 KiB."""

STEPS = 3


def measure(full: bool) -> Result:
    """Both files, one after the other."""
    configuration = "default" if full else "small"
    few, many = (_run(rows) for rows in ROWS[configuration])
    share = (many["held"] - few["held"]) / (many["file"] - few["file"])
    detail = {
        "configuration": configuration,
        "rows": ROWS[configuration],
        "file_mib": [round(run["file"] / 2**20, 1) for run in (few, many)],
        "held_mib": [round(run["held"] / 2**20, 1) for run in (few, many)],
    }
    return Result("mapped", round(share, 4), "bytes a byte", GOAL, share <= GOAL, detail)


def _run(rows: int) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.mapped", str(rows)],
        cwd=HERE, capture_output=True, text=True, check=True, env={**os.environ, "TQDM_DISABLE": "1"},
    )  # fmt: skip
    values: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return values


def main() -> None:
    """Train on so many rows; the last line has the bytes of the file, and the most that the process held itself."""
    import bitsandbytes  # noqa: F401

    from benchmarks.estimated import save_base, word_tokenizer
    from tasks.models.tuning import load
    from tasks.train.settings import Settings
    from tasks.training import loop
    from tasks.training import rows as training_rows
    from tasks.training.adapters import attach
    from tasks.training.trainer import fit

    settings = Settings.model_validate(
        {"method": "lora", "steps": STEPS, "batch_size": 2, "checkpoint_steps": STEPS + 1, "warmup_steps": 0,
         "threads": 1, "group_by_length": True}
    )  # fmt: skip
    with TemporaryDirectory(prefix="temper-") as name, _Watched() as watched:
        folder = Path(name)
        save_base(folder / "base", 128, 1)
        loop.prepare(settings)
        _write(folder / "train.arrow", int(sys.argv[1]))
        rows = training_rows.load(folder / "train.arrow")
        counts = training_rows.count(rows)
        training_rows.check(counts, counts.as_dict(), "mapped")
        model = attach("train", settings, load(folder / "base", settings, settings), rows, folder, False)
        fit("train", model, word_tokenizer(), rows, settings, folder / "scratch")
        size = (folder / "train.arrow").stat().st_size
    print(json.dumps({"file": size, "held": watched.most}))


def _write(path: Path, rows: int) -> None:
    """Rows of `TOKENS` tokens of length that differ a little, all with a loss, a batch of 1,000 at a time."""
    import numpy as np
    import pyarrow as pa

    from benchmarks.estimated import VOCABULARY

    random = np.random.default_rng(0)
    schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for _ in range(rows // 1000):
            edges = np.concatenate([[0], np.cumsum(TOKENS - random.integers(0, 8, 1000))]).astype(np.int32)
            ids = pa.ListArray.from_arrays(edges, random.integers(2, VOCABULARY, edges[-1]).astype(np.int32))
            stream.write_batch(pa.record_batch([ids, ids], schema=schema))


class _Watched:
    """A context that looks every few milliseconds at what this process holds besides files."""

    def __init__(self) -> None:
        self.most = 0
        """Bytes."""
        self._done = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.005):
            line = next(line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line)
            self.most = max(self.most, int(line.split()[1]) * 1024)


if __name__ == "__main__":
    main()
