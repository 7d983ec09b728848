"""How far a stage is: figures as people write them, and the time that is left by the pace so far."""

import json
from typing import Any

import pytest

from tasks.core.progress import counting, described, reporter


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("tasks.core.progress.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPER_PROGRESS", "json")


def sent(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("::progress ")) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("machine")
def test_the_time_left_is_by_the_pace_since_the_first_report(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    report = reporter("train", 1000, "steps")
    report(801)  # goes on from a checkpoint: the 800 before took no time here
    clock.now += 20
    report(811, loss=0.5)
    clock.now += 20
    report(1000)
    assert [line["left"] for line in sent(capsys)] == [None, 378.0, None]  # 2 s a step, 189 steps


def test_words_for_a_person(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    state = {"done": 13080, "total": 48000, "unit": "rows", "left": 130.0}
    figures = {"loss": 1.4984, "grad_norm": 12345.6, "learning_rate": 2.1e-5}
    assert described(state | {"figures": figures}) == (
        "13,080/48,000 rows, 2 min left  loss 1.498  grad norm 12,346  learning rate 2.1e-5"
    )
    assert described(state | {"figures": figures}, 1) == "13,080/48,000 rows, 2 min left  loss 1.498"
    assert described({"done": 0, "total": 1, "unit": "files"}) == "0/1 file"
    assert list(counting("clean: files read", ["a"], "files")) == ["a"]
    assert capsys.readouterr().out == "clean: files read: 1/1 file\n"
