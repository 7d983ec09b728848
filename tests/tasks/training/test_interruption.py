"""A training that is asked to end leaves a checkpoint of its step, from which it goes on to the same bytes."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerState

from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train import run
from tasks.training import callbacks, checkpoints
from tasks.training.interruption import Interruption
from tasks.training.private_figures import UnloggedFigures
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL, hashes


@contextmanager
def asked_at(step: int) -> Iterator[None]:
    """Have this process get Ctrl-C in that step."""
    ended = callbacks.MonitorCallback.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGINT)
        ended(self, args, state, control, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.MonitorCallback, "on_step_end", on_step_end)
        yield


def stop_and_continue(carry_out: Callable[[], object], step: int) -> None:
    """Have a run end by Ctrl-C in `step`, and carry it out again."""
    with asked_at(step), pytest.raises(KeyboardInterrupt):
        carry_out()
    carry_out()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("templated")
    template.run(template.Settings(), tiny.project(root, method="none"))
    return root


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_resumes_between_two_lines_of_the_log_and_ends_in_the_same_bytes(
    project: Paths, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SMALL.model_copy(update={"method": method, "logging_steps": 4, "checkpoint_steps": 99, "eval_steps": 5})
    run.tune(settings, project)
    first = hashes(project)
    capsys.readouterr()
    with asked_at(3), pytest.raises(KeyboardInterrupt):
        run.tune(settings, project)
    assert "train: stopped at step 3 of 6, and wrote a checkpoint; the next run" in capsys.readouterr().out
    (scratch,) = (project.data / "scratch").iterdir()
    assert checkpoints.latest(scratch) == scratch / "checkpoint-3"
    run.tune(settings, project)
    assert "train: resumes from step 3 of 6." in capsys.readouterr().out
    assert hashes(project) == first


def test_a_training_that_ended_before_its_first_checkpoint_says_that_it_starts_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = checkpoints.folder(tmp_path / "train", {"settings": {}})
    assert capsys.readouterr().out == ""
    assert checkpoints.folder(tmp_path / "train", {"settings": {}}) == target
    assert "train: starts at step 1: the last run of this training ended before" in capsys.readouterr().out


def test_the_checkpoint_waits_for_a_step_between_two_rounds_of_answers() -> None:
    interruption = Interruption("align", every=2)
    saves = []
    for number in (None, signal.SIGTERM):
        interruption.number = number
        for step in (3, 4, 9):
            control = SimpleNamespace(should_save=False)
            interruption.on_step_end(None, SimpleNamespace(global_step=step, max_steps=9), control)
            saves.append(control.should_save)
    assert saves == [False, False, False, False, True, True]


def test_the_same_signal_again_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    with Interruption("train").noticed():
        interruption = signal.getsignal(signal.SIGTERM)
        assert callable(interruption)
        monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
        monkeypatch.setattr("tasks.training.interruption.end_by", sent.append)
        for number in (signal.SIGINT, signal.SIGTERM):
            interruption(number, None)
        assert sent == [], "the run passes Ctrl-C on as SIGTERM"
        interruption(signal.SIGINT, None)
        assert sent == [signal.SIGINT]
    assert sent == [signal.SIGINT] * 2
    assert signal.getsignal(signal.SIGTERM) != interruption


def test_figures_of_the_first_step_are_not_shown_as_those_of_later_ones() -> None:
    shown: list[tuple[int, dict[str, float]]] = []
    monitor = callbacks.MonitorCallback("train", SMALL)
    monitor.report = lambda step, **figures: shown.append((step, figures))
    for step in range(1, 5):
        state, logs = SimpleNamespace(global_step=step, log_history=[]), step in (1, 3)
        monitor.on_step_end(None, state, SimpleNamespace(should_log=logs))
        if logs:
            monitor.on_log(None, state, None, {"loss": float(step)})
    monitor.on_train_end(None, state, None)
    assert shown == [(1, {"loss": 1.0}), (2, {}), (3, {"loss": 3.0}), (4, {"loss": 3.0})]


def test_a_checkpoint_of_several_processes_which_keeps_no_figures_goes_on_in_one() -> None:
    """The trainer looks the figures up at its next checkpoint, and has them from the one that it resumed."""
    state = TrainerState(global_step=3)
    callback = UnloggedFigures(SimpleNamespace())
    callback.on_train_begin(None, state, None)
    assert state.stateful_callbacks["UnloggedFigures"] == callback.state()
