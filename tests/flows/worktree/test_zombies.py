"""Queued runs that a worker has reserved, and that died, with it or without, before they began."""

import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending, Scheduled

from flows.worktree.zombies import MESSAGE, reap, reserve_flow_run, reserving
from tasks.core.identity import Identity, current
from tasks.core.paths import Paths
from tests.flows.project import Toy


@pytest.fixture
def client(new: Toy) -> Iterator[SyncPrefectClient]:
    """Of the tests' server, in a project."""
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def reserved(client: SyncPrefectClient, pid: int | None) -> FlowRun:
    """A queued run as a worker takes it: the server has it as pending, and `pid` is to carry it out."""
    pool = client.create_work_pool(WorkPoolCreate(name=f"reserved-{uuid4()}", type="process")).name
    deployment = client.create_deployment(client.create_flow_from_name("finetune"), pool, work_pool_name=pool)
    client.create_flow_run_from_deployment(deployment)
    (offer,) = client.get_scheduled_flow_runs_for_work_pool(pool)
    queued = offer.flow_run
    client.set_flow_run_state(queued.id, Pending())
    reserve_flow_run(queued, pid)
    return queued


def test_a_run_whose_process_died_before_it_began_ends_crashed(new: Toy, client: SyncPrefectClient, dead: int) -> None:
    run, lines = reserved(client, dead), list[str]()
    reap(lines.append)
    state = client.read_flow_run(run.id).state
    assert state is not None
    assert (state.name, state.message) == ("Crashed", MESSAGE)
    assert lines == [f"the run {run.name} is Crashed: its process had died"]
    assert list(Paths(new.path).flow_runs.iterdir()) == []


def test_a_run_whose_process_lives_is_left_alone(client: SyncPrefectClient) -> None:
    """Be it the worker's own, which has yet to start that of the run, or one that is starting."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        runs = [reserved(client, None), reserved(client, living.pid)]
        reap(lambda line: None)
        assert [client.read_flow_run(run.id).state_name for run in runs] == ["Pending", "Pending"]


def test_a_run_that_was_queued_again_is_left_to_who_took_it_then(client: SyncPrefectClient, dead: int) -> None:
    run = reserved(client, dead)
    client.set_flow_run_state(run.id, Scheduled(), force=True)
    client.set_flow_run_state(run.id, Pending())
    reap(lambda line: None)
    assert client.read_flow_run(run.id).state_name == "Pending"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has containers that count their own processes")
def test_in_another_container_a_run_is_dead_when_its_worker_is(
    client: SyncPrefectClient, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = current()
    with reserving():
        run = reserved(client, dead)
        monkeypatch.setattr("flows.worktree.zombies.current", lambda: here._replace(namespace="1"))
        monkeypatch.setattr(Identity, "dead", lambda self: False)
        reap(lambda line: None)
        assert client.read_flow_run(run.id).state_name == "Pending"
    reap(lambda line: None)
    assert client.read_flow_run(run.id).state_name == "Crashed"
