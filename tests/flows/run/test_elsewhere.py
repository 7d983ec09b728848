"""A stage on another machine, and what its run makes of a server that is away and of a machine that is gone."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Crashed, Running

from flows.run import elsewhere
from flows.run.elsewhere import AWAY, Elsewhere
from flows.run.heartbeat import LABEL, SILENCE
from flows.run.policies import Share
from tasks.core.errors import Unavailable

CHILD = FlowRun(flow_id=uuid4(), name="otter-train", parameters={"commit": "c"}, state=Running(), labels={LABEL: 1})


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("flows.run.elsewhere.time.sleep", clock.sleep)
    monkeypatch.setattr("flows.run.elsewhere.time.monotonic", lambda: clock.now)
    monkeypatch.setattr("flows.server.retry.sleep", clock.sleep)
    monkeypatch.setattr("flows.server.retry.monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to the run of the stage and to what was sent, which nobody had asked for before."""
    calls: list[str] = []
    monkeypatch.setattr(elsewhere, "_under_way", lambda key: None)
    monkeypatch.setattr(elsewhere, "_queue", lambda *order: CHILD)
    monkeypatch.setattr(elsewhere, "pack", lambda stage, remote: "c")
    monkeypatch.setattr(elsewhere, "_cancel", lambda run: calls.append("cancel"))
    monkeypatch.setattr(elsewhere, "_end", lambda run, state: calls.append(state.name))
    remotes = SimpleNamespace(send=lambda *sent: None, forget=lambda *sent: calls.append("forget"))
    monkeypatch.setattr(elsewhere, "remotes", remotes)
    return calls


@pytest.fixture
def run(clock: Clock, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have `train` run elsewhere; return what the run said."""

    def run(answers: Callable[[float], FlowRun], pushed: bool = False, force: bool = False) -> list[str]:
        """`answers`: what the server says of the stage's run by the time, or raises; `pushed`: what the remote has."""
        lines: list[str] = []
        monkeypatch.setattr(elsewhere, "_read", lambda run: answers(clock.now))
        monkeypatch.setattr(elsewhere, "shared", lambda key, remote: pushed)
        Elsewhere(Share(), lines.append).run("train", "key", "gpu", lambda: None, force=force)
        return lines

    return run


def away(begin: float, end: float, then: Any = None) -> Callable[[float], FlowRun]:
    """A server that is away for a time; some beats after that the stage's run is in the state `then`."""

    def answer(now: float) -> FlowRun:
        if begin <= now < end:
            raise httpx.ConnectError("refused")
        beat = 1 if now < end + 30 else 2
        state = then if then and now > end + 60 else CHILD.state
        return CHILD.model_copy(update={"state": state, "labels": {LABEL: beat}})

    return answer


def test_a_server_that_comes_back_finds_the_run_waiting(run: Any, calls: list[str]) -> None:
    """Away for longer than a machine may be silent: that nobody heard its beats is no sign of its death."""
    lines = run(away(10, 10 + 5 * SILENCE, Completed()))
    assert lines[1] == (
        "the Prefect server does not answer; this run waits for it, 60 minutes at most. train continues on its "
        "machine, and its outputs are kept."
    )
    assert len(lines) == 2, "it is said once"
    assert calls == ["forget"]


def test_a_server_that_stays_away_ends_the_run_and_not_the_stage(run: Any, calls: list[str]) -> None:
    sentence = r"the Prefect server did not answer for 3600 s .*finished stages are kept: start the run again"
    with pytest.raises(Unavailable, match=sentence):
        run(away(10, 2 * AWAY))
    assert calls == []


def test_a_silent_machine_is_given_up_unless_it_had_pushed_what_it_made(run: Any, calls: list[str]) -> None:
    ended: list[str] = []

    def silent(now: float) -> FlowRun:
        return CHILD.model_copy(update={"state": Crashed(message="silent.")}) if "Crashed" in calls else CHILD

    with pytest.raises(Unavailable, match=r"^silent\. \(train ran as otter-train, and ended Crashed\.\)$"):
        run(silent)
    assert calls == ["Crashed", "forget"]
    calls.clear()
    ended = run(silent, pushed=True)
    assert ended[-1] == "otter-train ended Crashed, but had pushed the outputs of train, so they are used."
    calls.clear()
    with pytest.raises(Unavailable):
        run(silent, pushed=True, force=True)


def test_who_gives_up_waiting_cancels_what_was_queued(clock: Clock, calls: list[str], monkeypatch: Any) -> None:
    def waits() -> Iterator[None]:
        yield None
        raise KeyboardInterrupt

    monkeypatch.setattr(elsewhere, "_read", lambda run: CHILD)
    step = waits()
    with pytest.raises(KeyboardInterrupt):
        Elsewhere(Share(), lambda line: None).run("train", "key", "gpu", lambda: next(step, None))
    assert calls == ["cancel", "forget"]
