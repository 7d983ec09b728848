"""A stage in a worker of its own: the machine that carries a run out has no card, the one that has gets the stage."""

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.flows.machines import Machines, hired
from tests.flows.project import STAGES, Toy, until
from tests.flows.site import Site

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

POLICIES = """\
share: {retries: 0}
queues: [gpu]
limits: {gpu: {slots: 1, each: host}}
stages:
  train: {retries: 1, delay: 0}
  base: {queue: null}
  merge: {queue: null}
  quantize*: {queue: null}
"""


@pytest.fixture(scope="module")
def runs(machines: Machines) -> Iterator[Site]:
    """The machine that has no card, and carries out whole runs."""
    with hired(machines, machines.here, "--limit", "1") as site:
        yield site


def card(machines: Machines) -> AbstractContextManager[Site]:
    """The machine that has a card: its worker takes what is for it, and nothing else."""
    return hired(machines, machines.there, "--queue", "gpu", pool="temper-stages")


@contextmanager
def held(toy: Toy) -> Iterator[Path]:
    """Hold `train` on a machine; it is let go with the block at the latest."""
    gate = toy.hold("train")
    try:
        yield gate
    finally:
        gate.unlink(missing_ok=True)


def worked(toy: Toy) -> dict[str, int]:
    """How often each stage began to work on a machine."""
    return {count.name.removeprefix("count-"): count.stat().st_size for count in toy.gate.glob("count-*")}


def named(stage: str) -> str:
    return stage.replace("@", "-")


def test_a_stage_goes_to_the_machine_that_has_a_card_and_its_outputs_come_back(
    machines: Machines, runs: Site, finished: Path
) -> None:
    """The bytes are those of a run on one machine, and the run says what it waits for while nobody has a card."""
    here, there = machines.here, machines.there
    name = runs.start()
    until(lambda: "train waits: no worker of the queue gpu is running" in runs.logs(runs.run(name).id), 300.0, 1.0)
    with card(machines) as site:
        assert runs.ended(name) == "Completed", runs.logs(runs.run(name).id)
    assert worked(there) == {"train": 1}
    assert worked(here) == {named(stage): 1 for stage in STAGES - {"train"}}
    assert runs.stages(name) == dict.fromkeys(STAGES, "Completed")
    assert (
        here.call("git", "show", f"{runs.experiment(name)}:dvc.lock").encode() == (finished / "dvc.lock").read_bytes()
    )
    assert here.call("git", "ls-remote", "origin", "refs/temper/*") == ""
    assert runs.left() == site.left() == []


def test_a_worker_that_dies_with_a_stage_costs_the_stage_only(machines: Machines, runs: Site) -> None:
    there = machines.there
    before = worked(machines.here)
    gate = there.hold("train")
    with card(machines) as site:
        name = runs.start("train.learning_rate=1e-4")
        stage = psutil.Process(there.held("train"))
        gate.unlink()
        for process in site.processes(f"{name}-train"):
            os.kill(process.pid, signal.SIGKILL)
        assert runs.ended(name) == "Completed", runs.logs(runs.run(name).id)
        until(lambda: not stage.is_running())
    assert worked(there)["train"] == 3, "one of the run before, two of this one"
    assert {stage: count - before[stage] for stage, count in worked(machines.here).items()} == {
        stage: 0 if stage in {"base", "generate", "clean"} else 1 for stage in before
    }


def test_who_cancels_a_run_cancels_its_stage_elsewhere(machines: Machines, runs: Site) -> None:
    from prefect.states import Cancelling

    there = machines.there
    with card(machines) as site, held(there):
        name = runs.start("train.learning_rate=2e-4")
        stage = psutil.Process(there.held("train"))
        runs.client.set_flow_run_state(runs.run(name).id, Cancelling())
        assert runs.ended(name) == "Cancelled"
        assert runs.ended(f"{name}-train") == "Cancelled"
        until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
        until(lambda: not site.left())


def test_a_run_that_died_leaves_its_stage_at_work_and_the_next_one_waits_for_it(machines: Machines, runs: Site) -> None:
    there = machines.there
    before = worked(there).get("train", 0)
    with card(machines), held(there) as gate:
        name = runs.start("train.learning_rate=3e-4")
        there.held("train")
        for process in runs.processes(name):
            os.kill(process.pid, signal.SIGKILL)
        assert runs.ended(name) == "Crashed"
        again = runs.start("train.learning_rate=3e-4")
        line = f"train is sent to a worker of the queue gpu, as the run {name}-train"
        until(lambda: line in runs.logs(runs.run(again).id), 300.0, 1.0)
        gate.unlink()
        assert runs.ended(again) == "Completed", runs.logs(runs.run(again).id)
    assert worked(there)["train"] == before + 1


def test_a_remote_that_goes_away_while_a_stage_works_elsewhere_gets_its_outputs_later(
    machines: Machines, runs: Site
) -> None:
    there, store = machines.there, machines.store
    before = worked(there).get("train", 0)
    with card(machines), held(there) as gate:
        name = runs.start("train.learning_rate=4e-4")
        there.held("train")
        store.rename(store.with_name("away"))
        store.write_text("no folder")
        gate.unlink()
        assert runs.ended(name) == "Failed"
        assert "the inputs of train could not be pushed: " in str(runs.run(name).state), "the second try"
        state = str(runs.run(f"{name}-train").state)
        assert state.startswith("NotShared(")
        assert "the outputs of train are stored on this machine, but could not be shared" in state
        store.unlink()
        store.with_name("away").rename(store)
        again = runs.start("train.learning_rate=4e-4")
        assert runs.ended(again) == "Completed", runs.logs(runs.run(again).id)
    assert worked(there)["train"] == before + 1, "what was made before is pushed, and not made again"


def test_a_server_that_goes_away_while_a_stage_works_elsewhere_is_waited_for(machines: Machines, runs: Site) -> None:
    """The stage ends meanwhile, and pushes what it made; the run goes on with that when the server is back."""
    there = machines.there
    before = worked(there).get("train", 0)
    with card(machines) as site, held(there) as gate:
        name = runs.start("train.learning_rate=6e-4")
        stage = psutil.Process(there.held("train"))
        machines.server.kill()
        gate.unlink()
        until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
        machines.server.start()
        assert runs.ended(name) == "Completed", runs.logs(runs.run(name).id)
        assert runs.ended(f"{name}-train") == "Completed"
        until(lambda: not site.left())
    assert worked(there)["train"] == before + 1
