"""torchrun starts processes on one host and on several; they train to the same bytes, and fail together."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
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


def start(
    paths: Paths, environment: dict[str, str] | None = None, command: Sequence[str] = (), **values: Any
) -> "subprocess.Popen[str]":
    """`python -m tasks train` by the settings `values`, or `command` in its place."""
    with (paths.root / "params.yaml").open("w") as file:
        YAML().dump({"train": {**SMALL, **values}}, file)
    fixed = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TEMPER_PROGRESS": "json"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", *command, "tasks", "train"],
        cwd=paths.root,
        env={**os.environ, **fixed, **(environment or {})},
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def hosts(paths: Paths, **values: Any) -> "list[subprocess.Popen[str]]":
    """Two agents of one process each, which meet on this machine."""
    launch = {"nodes": 2, "rendezvous": f"127.0.0.1:{free_port()}"}
    return [start(paths, {"NODE_RANK": str(node)}, launch=launch, **values) for node in (0, 1)]


def train(paths: Paths, **values: Any) -> dict[str, Any]:
    process = start(paths, **values)
    output, wrong = process.communicate()
    assert process.returncode == 0, wrong
    assert output.count("train: 20 rows, ") == 1, "one process speaks for all"
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
    children = _children(process.pid)
    assert len(children) == 2
    os.kill(int(children[1]), signal.SIGKILL)
    _, wrong = process.communicate()
    assert process.returncode == 1
    assert "process 1 of 2 was killed by signal 9, and the others were stopped" in wrong
    assert "Traceback" not in wrong
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not project.trained.exists()


def test_two_hosts_do_what_one_with_two_processes_does(project: Paths) -> None:
    together = train(project, launch={"processes": 2})
    first, second = hosts(project)
    outputs = [process.communicate() for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert outputs[0][0].count("train: 20 rows, ") == 1
    assert "host 1 of 2 takes part; host 0 shows the progress" in outputs[1][0]
    apart = load_file(project.trained / "adapter_model.safetensors")
    assert all((together[name] == apart[name]).all() for name in together)


def test_a_process_that_dies_ends_both_hosts(project: Paths) -> None:
    first, second = hosts(project, steps=10_000, checkpoint_steps=10)
    assert first.stdout
    for line in first.stdout:
        if '"done": ' in line:
            break
    (child,) = _children(second.pid)
    os.kill(int(child), signal.SIGKILL)
    wrong = [process.communicate()[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [1, 1]
    assert "process 1 of 2 was killed by signal 9" in wrong[1]
    assert (
        "it lost the processes of another host, whose log says why. Run again: training resumes from the last"
    ) in wrong[0]
    assert "Traceback" not in "".join(wrong)


def test_torchrun_outside_has_started_them(project: Paths) -> None:
    together = train(project, launch={"processes": 2})
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    process = start(project, command=torchrun, launch={"processes": 2})
    _, wrong = process.communicate()
    assert process.returncode == 0, wrong
    joined = load_file(project.trained / "adapter_model.safetensors")
    assert all((together[name] == joined[name]).all() for name in together)
    process = start(project, command=torchrun)
    _, wrong = process.communicate()
    assert process.returncode != 0
    assert "train.launch is for 1 processes (1 hosts with 1 each), but torchrun started 2" in wrong


def test_an_error_is_said_once(project: Paths) -> None:
    counts = json.loads(project.counts.read_text())
    counts["train"]["rows"] += 1
    project.counts.write_text(json.dumps(counts))
    process = start(project, launch={"processes": 2})
    output, wrong = process.communicate()
    assert process.returncode == 1
    assert wrong.startswith("train: process ")
    assert wrong.count("ended with code 1, and the others were stopped: ") == 1
    assert "Traceback" not in wrong + output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_all(project: Paths, number: int) -> None:
    process = start(project, {"TMPDIR": str(project.root)}, launch={"processes": 2}, steps=10_000, checkpoint_steps=10)
    assert process.stdout
    for line in process.stdout:
        if '"done": ' in line:
            break
    children = [psutil.Process(int(child)) for child in _children(process.pid)]
    assert len(children) == 2
    process.send_signal(number)
    _, wrong = process.communicate()
    assert process.returncode == -number
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert "Traceback" not in wrong
    if number != signal.SIGKILL:
        assert not list(project.root.glob("**/temper-torchrun-*"))


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()
