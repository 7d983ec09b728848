"""Several processes train as one does, whatever each of them holds of the model; killed, they go on to the same bytes.

One process on the same rows a step is what is compared with: losses, and the norm of the gradient, which is that of all
processes' shares.
"""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train.run import tune
from tasks.train.settings import Settings
from tasks.training.launch import Launch
from tasks.training.settings import LoRA
from tests.tasks import tiny
from tests.tasks.training.together import KILLED, together

SMALL = Settings(
    steps=6, batch_size=4, learning_rate=1e-3, warmup_steps=1, threads=1, logging_steps=1, checkpoint_steps=2,
    eval_steps=3, dtype="float32", lora=LoRA(r=2, alpha=4),
)  # fmt: skip


def project(root: Path, **values: Any) -> Paths:
    paths = tiny.project(root, method="none")
    template.run(template.Settings(**values), paths)
    return paths


def by(strategy: Any, processes: int = 2, **values: Any) -> Settings:
    """Settings for so many processes that take four rows a step together."""
    division = {"launch": Launch(processes=processes, strategy=strategy), "batch_size": 4 // processes}
    return Settings.model_validate({**SMALL.model_dump(), **values, **division})


def trained(paths: Paths, settings: Settings) -> dict[str, bytes]:
    assert set(together(tune, paths, settings)) == {0}, (paths.root / "output-0.txt").read_text()[-2000:]
    return {file.name: file.read_bytes() for file in paths.trained.iterdir()}


def points(folder: dict[str, bytes]) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO(folder["loss.csv"].decode()))
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def assert_alike(one: dict[str, bytes], several: dict[str, bytes], relative: float = 1e-6) -> None:
    assert sorted(one) == sorted(several)
    for point, other in zip(points(one), points(several), strict=True):
        assert other == pytest.approx(point, rel=relative)


@pytest.mark.parametrize(("strategy", "method"), [("ddp", "full"), ("fsdp2", "full"), ("fsdp2", "lora")])
def test_two_processes_do_what_one_does(tmp_path: Path, strategy: str, method: str) -> None:
    paths = project(tmp_path)
    one = trained(paths, by("ddp", 1, method=method))
    two = trained(paths, by(strategy, method=method))
    assert_alike(one, two)
    if method == "full":
        assert one["config.json"] == two["config.json"]


@pytest.mark.parametrize(("strategy", "method"), [("fsdp2", "full"), ("fsdp2", "lora")])
def test_killed_they_go_on_to_the_same_bytes(tmp_path: Path, strategy: str, method: str) -> None:
    paths = project(tmp_path)
    settings = by(strategy, method=method)
    undisturbed = trained(paths, settings)
    assert together(tune, paths, settings, dies_at=5)[-1] == KILLED
    assert "checkpoint-4" in {path.name for path in paths.root.glob("data/scratch/train-*/checkpoint-*")}
    assert trained(paths, settings) == undisturbed
    assert "from checkpoint-4" in (paths.root / "output-0.txt").read_text()


@pytest.mark.parametrize(
    ("strategy", "before", "after"), [("fsdp2", 2, 4), ("fsdp2", 2, 1), ("fsdp2", 1, 2), ("ddp", 1, 2)]
)
def test_another_number_of_processes_goes_on(tmp_path: Path, strategy: str, before: int, after: int) -> None:
    paths = project(tmp_path)
    undisturbed = trained(paths, by(strategy, before, method="full"))
    assert together(tune, paths, by(strategy, before, method="full"), dies_at=5)[-1] == KILLED
    other = trained(paths, by(strategy, after, method="full"))
    assert "from checkpoint-4" in (paths.root / "output-0.txt").read_text()
    assert_alike(undisturbed, other)
