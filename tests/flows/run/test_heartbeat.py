"""A run that beats lives; one that is silent does not, whatever the clocks of two machines say."""

from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Pending, Running, Scheduled

from flows.run.heartbeat import LABEL, SILENCE, STARTING, Listener


def test_a_run_without_a_beat_counts_as_dead_and_one_that_waits_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("flows.run.heartbeat.time.monotonic", lambda: now)
    listener = Listener()
    state: State[Any] = Running()
    run = FlowRun(flow_id=uuid4(), state=Scheduled())
    now += 10 * SILENCE
    assert not listener.silent(run), "nobody has begun it"
    run = run.model_copy(update={"state": state, "labels": {LABEL: 1}})
    assert not listener.silent(run)
    now += 0.75 * SILENCE
    assert not listener.silent(run)
    run = run.model_copy(update={"labels": {LABEL: 2}})
    assert not listener.silent(run)
    now += 0.75 * SILENCE
    assert not listener.silent(run), "the second beat counts from when it was heard"
    now += 0.3 * SILENCE
    assert listener.silent(run)


def test_a_run_that_a_worker_has_taken_has_longer_until_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("flows.run.heartbeat.time.monotonic", lambda: now)
    listener, run = Listener(), FlowRun(flow_id=uuid4(), state=Pending())
    assert not listener.silent(run)
    now += STARTING
    assert not listener.silent(run)
    now += 1.0
    assert listener.silent(run)
