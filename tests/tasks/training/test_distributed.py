"""Two processes on the CPU train as one does on the same rows a step, to the same bytes twice, and fail together."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from safetensors.numpy import load_file

from tasks.core.paths import Paths
from tasks.template import stage as template
from tests.flows.project import ROOT
from tests.tasks import tiny

pytestmark = pytest.mark.long

SMALL = {
    "steps": 6, "batch_size": 2, "learning_rate": 1e-3, "warmup_steps": 1, "threads": 1, "logging_steps": 1,
    "checkpoint_steps": 2, "eval_steps": 3, "dtype": "float32", "lora": {"r": 2, "alpha": 4},
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    paths = tiny.project(tmp_path, method="none")
    template.run(template.Settings(), paths)
    return paths


def start(paths: Paths, **values: Any) -> "subprocess.Popen[str]":
    with (paths.root / "params.yaml").open("w") as file:
        YAML().dump({"train": {**SMALL, **values}}, file)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TEMPER_PROGRESS": "json"}
    command = [sys.executable, "-m", "tasks", "train"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=paths.root, env=environment, stdout=pipe, stderr=pipe, text=True)


def train(paths: Paths, **values: Any) -> dict[str, Any]:
    process = start(paths, **values)
    said, wrong = process.communicate()
    assert process.returncode == 0, wrong
    assert said.count("train: 20 rows, ") == 1, "one process speaks for all"
    return {name: value.copy() for name, value in load_file(paths.trained / "adapter_model.safetensors").items()}


def test_two_processes_do_what_one_does(project: Paths) -> None:
    both = train(project, launch={"processes": 2})
    facts = json.loads((project.trained / "training.json").read_text())
    assert facts["effective_batch_rows"] == 4
    again = train(project, launch={"processes": 2})
    assert all((both[name] == again[name]).all() for name in both)
    alone = train(project, batch_size=4)
    for name, value in alone.items():
        assert abs(both[name] - value).max() < 1e-4, name


def test_one_that_fails_ends_all(project: Paths) -> None:
    process = start(project, launch={"processes": 2}, steps=10_000, checkpoint_steps=10)
    assert process.stdout
    for line in process.stdout:
        if '"done": ' in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[1]), signal.SIGKILL)
    _, wrong = process.communicate()
    assert process.returncode == 1
    assert "process 1 of 2 was killed by signal 9, and the others were ended" in wrong
    assert "Traceback" not in wrong
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not project.trained.exists()
