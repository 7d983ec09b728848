"""`python -m benchmarks gpu`: its steps on the processor in small, what becomes of one that fails, and the table."""

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import run
from benchmarks.gpu.project import Clock, StepFailed
from benchmarks.gpu.sizes import SMALL
from benchmarks.gpu.steps import STEPS, Bench
from benchmarks.gpu.work import WAYS
from tasks.core.errors import TemperError
from tasks.core.paths import Paths
from tasks.core.settings import PARAMS, load
from tasks.stages import stage


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
    """What each step measured, by its name."""
    bench = Bench(tmp_path_factory.mktemp("gpu"), SMALL, InProcess(3600), cpu=True)
    attempts: list[dict[str, Any]] = []
    for step in STEPS:
        attempts.append(run.attempt(step, bench, attempts))
    return {line["step"]: line for line in attempts}


@pytest.mark.parametrize("name", [step.name for step in STEPS])
def test_every_step_works_on_the_processor(lines: dict[str, dict[str, Any]], name: str) -> None:
    line = lines[name]
    assert line["outcome"] == "works", line
    assert line.get("same_bytes", True), line


def test_training_is_timed_priced_and_compared(lines: dict[str, dict[str, Any]]) -> None:
    trained = [line for line in lines.values() if "same_bytes" in line]
    assert len(trained) == 8
    assert all(line["taken"] > 0 and line["estimated"] > 0 for line in trained)
    assert {name for name, line in lines.items() if line.get("tokens_a_second")} >= {"lora", "bare loop", "lora, packs"}
