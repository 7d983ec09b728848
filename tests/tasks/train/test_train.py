"""Training: the same bytes twice and after a kill, only trusted checkpoints, and a stop at the first bad step."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import CheckFailed, SettingsError
from tasks.core.files import sha256
from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train import run
from tasks.train.settings import Settings
from tasks.training import arguments, callbacks, checkpoints, rows
from tasks.training.tuning_settings import LoRA
from tests.tasks import tiny

SMALL = Settings(
    steps=6, batch_size=4, learning_rate=1e-2, warmup_steps=1, threads=1, logging_steps=1, checkpoint_steps=2,
    eval_steps=3, lora=LoRA(r=2, alpha=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("templated")
    template.run(template.Settings(), tiny.project(root, method="none"))
    return root


def hashes(paths: Paths) -> dict[str, str]:
    return {file.name: sha256(file) for file in sorted(paths.trained.iterdir())}


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the trainer handles it."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the run end abruptly after `step` steps."""
    ended = callbacks.MonitorCallback.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        ended(self, args, state, control, **kwargs)
        if state.global_step == step:
            raise Killed

    monkeypatch.setattr(callbacks.MonitorCallback, "on_step_end", on_step_end)


def kill_and_continue(carry_out: Callable[[], object], step: int) -> None:
    """Have a run end abruptly after `step` steps, and carry it out again, from the checkpoint that it left."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(step, patch)
        carry_out()
    carry_out()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_same_bytes_twice_and_after_a_kill(project: Paths, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SMALL.model_copy(update={"method": method})
    run.tune(settings, project)
    first = hashes(project)
    assert set(first) >= {"loss.csv", "training.json", "settings.json"}
    assert not (project.data / "scratch").exists() or not list((project.data / "scratch").iterdir())
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(5, patch)
        run.tune(settings, project)
    (scratch,) = (project.data / "scratch").iterdir()
    assert checkpoints.latest(scratch) == scratch / "checkpoint-4"
    assert not list(scratch.rglob("README.md"))  # nobody reads a card of a checkpoint
    run.tune(settings, project)
    assert hashes(project) == first


def test_the_loss_falls_and_its_curve_is_written(project: Paths) -> None:
    run.tune(SMALL.model_copy(update={"steps": 20, "eval_steps": 10}), project)
    points = list(csv.DictReader(io.StringIO((project.trained / "loss.csv").read_text())))
    losses = [float(point["loss"]) for point in points if point["loss"]]
    assert losses[-1] < losses[0]
    assert [point["step"] for point in points if point["eval_loss"]] == ["10", "20"]
    facts = json.loads((project.trained / "training.json").read_text())
    audit = json.loads((project.templated / "audit.json").read_text())
    counts = audit["splits"]["train"]["trained"]
    assert {name: facts[name] for name in counts} == counts
    assert facts["trainable_parameters"] < facts["parameters"]
    assert facts["arguments"]["max_length"] is None
    assert facts["arguments"]["learning_rate"] == SMALL.learning_rate


def test_a_changed_setting_starts_over_and_taken_back_it_goes_on(
    project: Paths, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run.tune(SMALL, project)
    first = hashes(project)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(5, patch)
        run.tune(SMALL, project)
    (left,) = (project.data / "scratch").iterdir()
    run.tune(SMALL.model_copy(update={"learning_rate": 2e-2}), project)
    output = capsys.readouterr().out
    assert f"cannot resume the checkpoints in {left}, because inputs have changed: settings.learning_rate." in output
    assert hashes(project) != first
    run.tune(SMALL, project)
    assert "from checkpoint-4" in capsys.readouterr().out
    assert hashes(project) == first
    assert not left.exists()


@pytest.mark.parametrize("harm", ["optimizer.pt", "rng_state.pth", "manifest.json", "cut"])
def test_an_incomplete_checkpoint_is_not_resumed(tmp_path: Path, harm: str) -> None:
    for step in (2, 4):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in (*checkpoints.NEEDED, "rng_state.pth", "adapter_model.safetensors"):
            (folder / name).write_text(f"{name} at {step}")
        checkpoints.seal(folder)
    assert checkpoints.latest(tmp_path) == tmp_path / "checkpoint-4"
    if harm == "cut":
        (tmp_path / "checkpoint-4" / "adapter_model.safetensors").write_text("ada")
    else:
        (tmp_path / "checkpoint-4" / harm).unlink()
    assert checkpoints.latest(tmp_path) == tmp_path / "checkpoint-2"
    assert not (tmp_path / "checkpoint-4").exists()


def test_rows_other_than_the_audited_ones_are_refused(project: Paths) -> None:
    counts = json.loads(project.counts.read_text())
    counts["train"]["supervised_tokens"] += 1
    project.counts.write_text(json.dumps(counts))
    with pytest.raises(CheckFailed, match="supervised_tokens"):
        run.tune(SMALL, project)


def test_rows_without_a_trained_token_are_refused() -> None:
    none = rows.Counts(rows=3, tokens=30, supervised_tokens=0)
    with pytest.raises(CheckFailed, match="no token has a loss"):
        rows.check(none, none.as_dict(), "train")


@pytest.mark.parametrize(
    ("logs", "message"), [({"loss": float("nan")}, "nan"), ({"grad_norm": 0.0}, "gradient is zero")]
)
def test_a_bad_step_stops_the_run(logs: dict[str, float], message: str) -> None:
    with pytest.raises(CheckFailed, match=message):
        callbacks.MonitorCallback("train", SMALL).on_log(None, State([]), None, logs)


@dataclass
class State:
    """What the trainer tells of a run, as far as it is looked at."""

    losses: list[float]

    @property
    def global_step(self) -> int:
        return 10 * len(self.losses)

    @property
    def log_history(self) -> list[dict[str, float]]:
        return [{"loss": loss} for loss in self.losses]


def spiked(losses: list[float], settings: Settings = SMALL) -> int | None:
    """After how many logged losses the run is stopped; None where it is not."""
    for seen in range(1, len(losses) + 1):
        try:
            callbacks.MonitorCallback("train", settings).on_log(
                None, State(losses[:seen]), None, {"loss": losses[seen - 1]}
            )
        except CheckFailed as error:
            assert "the loss has jumped" in str(error)
            return seen
    return None


def test_a_loss_that_jumps_and_stays_stops_the_run_and_what_is_usual_does_not() -> None:
    calm = [8.0, 6.0, 4.0, 3.0, 2.5, *(2.0 + 0.1 * (step % 3) for step in range(30))]
    assert spiked(calm) is None
    assert spiked([*calm, 20.0, 20.0, 20.0]) == 38
    assert spiked([*calm, 3.0, 4.5, 6.0, 7.0, 8.0]) == 39
    assert spiked([*calm, 20.0, *calm[-9:]]) is None, "one batch that is hard"
    assert spiked([0.01] * 30 + [6.0, 0.01, 6.0] + [0.01] * 9) is None, "rows of few tokens, few of them not right"
    assert spiked([0.69, 0.5, 0.3, 0.1] + [0.01] * 20 + [0.9] * 9) is None, "less than 1 nat"
    assert spiked([*calm, *[20.0] * 9], SMALL.model_copy(update={"max_spike": None})) is None


def test_a_run_that_spikes_keeps_its_checkpoint(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.training import loss, trainer

    usual, calls = loss.loss, 0

    def planted(*inputs: Any) -> Any:
        nonlocal calls
        calls += 1  # the first is for the price
        return usual(*inputs) * (9 if calls > 9 else 1)

    monkeypatch.setattr(trainer, "loss", planted)
    with pytest.raises(CheckFailed, match=r"train: the loss has jumped: .* at step 11, .* checkpoints are kept"):
        run.tune(SMALL.model_copy(update={"steps": 20, "checkpoint_steps": 4, "eval_steps": 99}), project)
    (scratch,) = (project.data / "scratch").iterdir()
    assert checkpoints.latest(scratch) == scratch / "checkpoint-8"
    assert not project.fitted.exists()


def test_settings_that_trl_refuses_are_told_as_a_sentence(project: Paths) -> None:
    with pytest.raises(SettingsError, match=r"params.yaml: trl rejects.*no_such"):
        run.tune(SMALL.model_copy(update={"optimizer": "no_such"}), project)


def test_an_adapter_on_no_layer_is_told_as_a_sentence(project: Paths) -> None:
    with pytest.raises(SettingsError, match=r"train\.lora\.target_modules"):
        run.tune(SMALL.model_copy(update={"lora": LoRA(target_modules=["no_such_layer"])}), project)


@pytest.mark.parametrize(
    ("dtype", "wide", "expected"),
    [("auto", 0, "bfloat16"), ("auto", 10_000, "float32"), ("bfloat16", 10_000, "bfloat16"), ("float32", 0, "float32")],
)
def test_bfloat16_is_chosen_where_the_processor_has_it_and_the_model_gains(
    monkeypatch: pytest.MonkeyPatch, dtype: str, wide: int, expected: str
) -> None:
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(arguments, "WIDE", wide)
    assert arguments.bfloat16(dtype, cpu=True, width=64) is (expected == "bfloat16")
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: False)
    assert not arguments.bfloat16("auto", cpu=True, width=None)


@pytest.mark.parametrize("wide", [0, 10_000])
def test_what_is_chosen_is_computed_in_and_recorded(project: Paths, monkeypatch: pytest.MonkeyPatch, wide: int) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(arguments, "WIDE", wide)
    run.tune(SMALL.model_copy(update={"steps": 2}), project)
    expected = "float32" if wide else "bfloat16"
    assert json.loads((project.trained / "training.json").read_text())["dtype"] == expected


def test_saved_adapters_name_their_layers_in_order(project: Paths) -> None:
    run.tune(SMALL.model_copy(update={"steps": 2}), project)
    config = json.loads((project.trained / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert config["base_model_name_or_path"] == "model"
