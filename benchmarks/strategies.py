"""`strategies`: peak memory of a process that shares the weights (FSDP2), as a share of one that holds them all (DDP).

Full tuning of 100 million weights in float32 by two processes on one host, a core each; beside it the tokens a second
of one process and of two. Each way is the stage `train` in a process of its own, in turn; medians count.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.checkout import HERE
from benchmarks.result import Result
from benchmarks.train import run as make
from tasks.core.json_files import read_object

GOAL = 0.65

WIDTH = {"small": 256, "default": 1152}
"""Numbers for a token between two layers: models of 6 and of 100 million weights."""

ROWS, STEPS = 32, 6

ROUNDS = {"small": 1, "default": 3}

WAYS: dict[str, dict[str, Any]] = {
    "one": {"batch_size": 2},
    "ddp": {"batch_size": 1, "launch": {"processes": 2}},
    "fsdp2": {"batch_size": 1, "launch": {"processes": 2, "strategy": "fsdp2"}},
}

SETTINGS = {
    "method": "full", "steps": STEPS, "warmup_steps": 1, "threads": 1, "checkpoint_steps": 1000, "dtype": "float32",
    "learning_rate": 1e-4, "logging_steps": 1,
}  # fmt: skip


def measure(full: bool) -> Result:
    """The ways in turn, on the same rows and model."""
    configuration = "default" if full else "small"
    with TemporaryDirectory(prefix="temper-") as folder:
        place = Path(folder)
        make("make", place, ROWS, WIDTH[configuration])
        taken: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS[configuration]):
            for way, values in WAYS.items():
                taken[way].append(_train(place / "rows", {**SETTINGS, **values}))
    memory = {way: median(each["memory"] for each in several) for way, several in taken.items()}
    seconds = {way: median(each["seconds"] for each in several) for way, several in taken.items()}
    ratio = round(memory["fsdp2"] / memory["ddp"], 3)
    detail = {
        "configuration": configuration,
        "peak_mib_a_process": {way: round(value / 2**20) for way, value in memory.items()},
        "rows_a_second": {way: round(2 * STEPS / value, 2) for way, value in seconds.items()},
    }
    return Result("strategies", ratio, "x the peak of a process under DDP", GOAL, ratio <= GOAL, detail)


def _train(project: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Bytes and seconds that the stage `train` took in `project`, its first process's."""
    (project / "params.yaml").write_text(json.dumps({"train": settings}))
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tasks", "train"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    used: dict[str, Any] = read_object(project / "data" / "prices" / "train.json")["used"]
    return used
