"""What is foretold of disk and memory is what training, merging and quantising then take."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows import forecast as whole
from flows.settings import Params
from tasks import merge, quantize, template
from tasks.contract.paths import Paths
from tasks.contract.settings import load
from tasks.train import forecast, tune
from tasks.train.settings import Settings
from tests.flows.project import ROOT
from tests.tasks import tiny
from tests.tasks.test_train import SMALL, Killed, killed_at


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    paths = tiny.project(tmp_path, method="none")
    shutil.rmtree(paths.base / "model")
    base = tiny.model(
        paths.base / "model", vocabulary=len(tiny.tokenizer()), hidden_size=512, intermediate_size=1024,
        initializer_range=0.02,
    )  # fmt: skip
    tiny.tokenizer().save_pretrained(base)
    tiny.record(paths, base, "trained", "model")
    template.run(template.Settings(), paths)
    return paths


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_disk_is_foretold_within_a_twentieth(project: Paths, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = {"r": 256, "alpha": 256} if method == "lora" else {}
    asked = Settings.model_validate(
        {**SMALL.model_dump(), "method": method, "checkpoint_steps": 1, "steps": 3, "lora": lora, "learning_rate": 1e-4}
    )
    base = forecast.shapes(project.base / "model")
    checkpoints, result = forecast.training(base, asked, asked)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(3, patch)
        tune.tune(asked, project)
    (scratch,) = project.scratch("").iterdir()
    assert forecast.KEPT / 2 * size(scratch) == pytest.approx(checkpoints, rel=0.05)
    tune.tune(asked, project)
    assert size(project.trained) == pytest.approx(result, rel=0.05)


def test_smaller_models_are_foretold_within_a_twentieth(project: Paths) -> None:
    tune.tune(SMALL, project)
    merge.run(merge.Settings(max_error=1.0), project)
    base = forecast.shapes(project.base / "model")
    assert size(project.merged) == pytest.approx(forecast.merged(base, "base"), rel=0.05)
    for scheme in ("nf4", "int8", "gguf-q8_0"):
        quantize.run(quantize.Settings(max_divergence=99, min_same_stops=0), project, scheme)
        weights = [file for file in project.quantized(scheme).iterdir() if file.suffix in (".safetensors", ".gguf")]
        assert sum(file.stat().st_size for file in weights) == pytest.approx(
            forecast.quantized(base, "base", scheme), rel=0.05
        ), scheme


def test_too_little_is_told_before_anything_runs(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", project.root)
    monkeypatch.chdir(project.root)
    told, faults = whole.lines()
    assert not faults
    assert told[0].startswith("train: 450 steps of 32 rows, 720.0 epochs of 20 rows with ")
    assert told[1].startswith("disk: ")
    params = load(Params, Path("params.yaml"))
    assert sum(whole.needed(forecast.shapes(project.base / "model"), params).values()) > 10 * 2**20

    class Full:
        free = 2**20

    disk: Any = lambda place: Full  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", disk)
    monkeypatch.setattr(whole, "available_memory", lambda: 2**20)
    _, faults = whole.lines()
    assert [fault.split(":")[0] for fault in faults] == ["disk", "memory"]
    assert "1.0 MiB are free. Free some space, or " in faults[0]
    assert "Set train.method to qlora" in faults[1]
