"""`python -m benchmarks gpu --cpu`: its steps work on the processor, in small."""

import json
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from benchmarks.checkout import HERE
from benchmarks.gpu import run
from benchmarks.gpu.project import Clock, StepFailed
from benchmarks.gpu.sizes import SMALL
from benchmarks.gpu.steps import STEPS, Bench, chosen
from benchmarks.gpu.work import WAYS
from tasks.core.errors import TemperError
from tasks.core.paths import Paths
from tasks.core.settings import PARAMS, load
from tasks.stages import stage

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # the fixture takes all steps, as part of its first test

QUICK = [step.name for step in chosen(["evaluate merged", "quantize int8", "bare loop", "grpo"])]
"""Steps that stand for all: their stages, settings and rows are what the others have."""


class InProcess(Clock):
    """Runs what a process would run in this one, which has the libraries: a second instead of ten."""

    def run(self, folder: Path, *arguments: str, cpu: bool = False) -> str:
        module, name, *more = arguments
        with chdir(folder):
            if module == "benchmarks.gpu.work":
                return json.dumps(WAYS[name](*more))
            try:
                stage(name).run(load(stage(name).settings, Path(PARAMS), name), Paths(), *more)
            except TemperError as error:
                raise StepFailed(str(error)) from None
        return ""


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each of the quick steps measured, by its name."""
    bench = Bench(tmp_path_factory.mktemp("gpu"), SMALL, InProcess(3600), cpu=True)
    attempts: list[dict[str, Any]] = []
    for step in chosen(QUICK):
        attempts.append(run.attempt(step, bench, attempts))
    return {line["step"]: line for line in attempts}


@pytest.mark.parametrize("name", QUICK)
def test_a_step_works_on_the_processor(lines: dict[str, dict[str, Any]], name: str) -> None:
    line = lines[name]
    assert line["outcome"] == "works", line
    assert line.get("same_bytes", True), line


def test_training_is_timed_priced_and_compared(lines: dict[str, dict[str, Any]]) -> None:
    lora = lines["lora"]
    assert lora["same_bytes"]
    assert lora["taken"] > 0
    assert lora["estimated"] > 0
    assert lora["tokens_a_second"] > 0
    assert lines["bare loop"]["tokens_a_second"] > 0


@pytest.mark.timeout(3600)
def test_the_whole_command_works_on_the_processor(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "gpu", "--cpu", "--out", str(tmp_path / "gpu.md")]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads((tmp_path / "gpu.json").read_text())["steps"]
    assert [line["step"] for line in measured] == [step.name for step in STEPS]
    assert sum(line.get("same_bytes", False) for line in measured) == 8
    assert (tmp_path / "gpu.md").read_text() in done.stdout
