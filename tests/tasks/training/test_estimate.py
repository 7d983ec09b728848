"""What is foretold of disk and memory is what training, merging and quantising then take."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.params.model import change, model
from flows.plan import estimate as whole
from tasks.core.paths import Paths
from tasks.core.settings import load
from tasks.merge import stage as merge
from tasks.quantize import stage as quantize
from tasks.quantize.schemes import SCHEMES
from tasks.template import stage as template
from tasks.train import run
from tasks.train.probe import sample
from tasks.train.settings import Settings
from tasks.training import estimate, usage
from tests.flows.project import ROOT
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL, Killed, killed_at


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
    base = estimate.read_shapes(project.base / "model")
    checkpoints, result = estimate.training(base, asked, asked)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(3, patch)
        run.tune(asked, project)
    (scratch,) = project.scratch("").iterdir()
    assert estimate.KEPT / 2 * size(scratch) == pytest.approx(checkpoints, rel=0.05)
    shutil.rmtree(scratch)
    run.tune(asked, project)
    assert size(project.trained) == pytest.approx(result, rel=0.05)
    estimated, used = (usage.load(project, "train")[when]["disk"] for when in ("foretold", "used"))
    assert estimated == pytest.approx(checkpoints + result, rel=0.01)
    assert used == pytest.approx(estimated, rel=0.05)


def test_smaller_models_are_foretold_within_a_twentieth(project: Paths) -> None:
    run.tune(SMALL, project)
    merge.run(merge.Settings(max_error=1.0), project)
    base = estimate.read_shapes(project.base / "model")
    assert size(project.merged) == pytest.approx(estimate.merged(base, "base"), rel=0.05)
    for scheme in ("nf4", "int8", "gguf-q8_0"):
        quantize.run(quantize.Settings(max_divergence=99, min_same_stops=0), project, scheme)
        weights = [file for file in project.quantized(scheme).iterdir() if file.suffix in (".safetensors", ".gguf")]
        assert sum(file.stat().st_size for file in weights) == pytest.approx(
            estimate.quantized(base, "base", SCHEMES[scheme].bits, SCHEMES[scheme].rest), rel=0.05
        ), scheme


def test_checkpoints_are_foretold_as_many_as_there_will_be() -> None:
    asked = Settings(steps=10, checkpoint_steps=6)
    assert estimate.checkpoints_kept(asked) == 2
    assert estimate.checkpoints_kept(asked.model_copy(update={"checkpoint_steps": 1})) == 3
    assert estimate.checkpoints_kept(asked.model_copy(update={"checkpoint_steps": 11})) == 0
    assert estimate.checkpoints_kept(asked.model_copy(update={"patience": 1, "eval_steps": 2})) == 3
    assert estimate.checkpoints_kept(asked.model_copy(update={"optimizer": "grokadamw"})) == 0


def test_time_is_foretold_from_the_last_steps_like_it_and_from_no_others(
    project: Paths, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    asked = Settings.model_validate({**SMALL.model_dump(), "steps": 100})
    monkeypatch.chdir(project.root)
    assert usage.estimate_seconds(Paths(), "train", asked) is None
    sample(asked, Paths())
    assert list(project.data.glob("trained*")) == []
    assert not list(project.scratch("").glob("*"))
    kept = usage.load(Paths(), "train")
    assert kept["items"] == 24
    seconds = usage.estimate_seconds(Paths(), "train", asked)
    assert seconds is not None
    assert seconds == pytest.approx(kept["step"] * 100)
    twice = asked.model_copy(update={"steps": 50, "batch_size": 16, "learning_rate": 1e-5, "eval_steps": 7})
    assert usage.estimate_seconds(Paths(), "train", twice) == pytest.approx(2 * seconds)
    for other in ({"threads": 2}, {"method": "full"}, {"gradient_checkpointing": True}):
        assert usage.estimate_seconds(Paths(), "train", asked.model_copy(update=other)) is None
    shutil.copy(ROOT / "params.yaml", project.root)
    own = [f"train={asked.model_dump_json()}", "machine.price=3600"]
    change(own)
    lines_shown, _ = whole.lines()
    assert lines_shown[3].startswith("time: train about ")
    assert f", {seconds:.2f} at 3,600 an hour, judging by similar steps" in lines_shown[3]
    change(["train.method=full"])
    assert whole.lines()[0][3] == "time: train unknown before its first steps; run temper check --time to measure it"


def test_what_training_took_is_set_beside_what_was_foretold(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    shutil.copy(ROOT / "params.yaml", project.root)
    change(["machine.price=1800"])
    run.tune(SMALL.model_copy(update={"steps": 20}), Paths())
    lines = {line["of"]: line for line in whole.actual_usage(["train", "align"])}
    assert set(lines) == {"memory", "disk", "time", "cost"}
    kept = usage.load(Paths(), "train")
    assert kept["items"] == 80
    assert lines["cost"]["took"] == f"{kept['used']['seconds'] / 2:.2f}"
    assert lines["cost"]["foretold"] == f"{kept['foretold']['seconds'] / 2:.2f}"
    assert lines["memory"]["difference"].endswith("%")


def test_too_little_is_told_before_anything_runs(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", project.root)
    monkeypatch.chdir(project.root)
    params = load(model(), Path("params.yaml"))
    steps, rows = params.train.steps, params.train.batch_size
    lines_shown, faults = whole.lines()
    assert not faults
    epochs = f"{steps * rows / 20:,.1f}"
    assert lines_shown[0].startswith(f"train: {steps} steps of {rows} rows, {epochs} epochs of 20 rows with ")
    assert lines_shown[1].startswith("disk: ")
    assert sum(whole.disk_needed(estimate.read_shapes(project.base / "model"), params).values()) > 10 * 2**20

    class Full:
        free = 2**20

    disk: Any = lambda path: Full  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", disk)
    monkeypatch.setattr(whole, "available_memory", lambda: 2**20)
    _, faults = whole.lines()
    assert [fault.split(":")[0] for fault in faults] == ["disk", "memory"]
    assert "1.0 MiB are free. Free some space, or " in faults[0]
    assert "Set train.method to qlora" in faults[1]
