"""What breaks around a deployed run, on a real server and worker: nothing finished is lost, every state is true."""

import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.postgres import postgres, programs
from benchmarks.server import prefect_server
from tests.flows.project import BELOW_TRAIN, Toy, until
from tests.flows.site import Site, deployed

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]


def test_without_credentials_the_server_refuses(new: Toy) -> None:
    with prefect_server(PREFECT_SERVER_API_AUTH_STRING="admin:secret") as api:
        assert httpx.post(f"{api}/flow_runs/filter", json={}).status_code == 401
        assert httpx.post(f"{api}/flow_runs/filter", json={}, auth=("admin", "wrong")).status_code == 401
        assert httpx.post(f"{api}/flow_runs/filter", json={}, auth=("admin", "secret")).status_code == 200
        shutil.copytree(Path(__file__).parents[2] / "infra", new.path / "infra")
        new.environment.update(PREFECT_API_URL=api, PREFECT_HOME=str(new.path.parent / "home"))
        refused = new.temper("deploy")
        stderr = refused.communicate()[1]
        assert refused.returncode == 1
        assert "Traceback" not in stderr
        assert "PREFECT_API_AUTH_STRING" in stderr
        new.environment["PREFECT_API_AUTH_STRING"] = "admin:secret"
        new.command("deploy")


def kill(site: Site, victim: str, name: str) -> None:
    """Kill stages, the run's own processes, the worker, or the server; who is needed for the rest starts again."""
    if victim == "server":
        site.server.kill()
        site.server.start()
    elif victim == "worker":
        site.worker.kill()
        site.worker.wait()
        site.worker = site.hire()
    else:
        for process in site.working() if victim == "stage" else site.processes(name):
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_killed_nothing_finished_is_lost_and_every_state_is_true(site: Site, seed: int) -> None:
    """Three times ten trials: something dies at a random moment of a run in which train and what is below it run."""
    chance = random.Random(seed)
    for trial in range(10):
        change = f"train.learning_rate={seed + 1}.{trial}e-6"
        victim, moment = chance.choice(["stage", "run", "worker", "server"]), chance.uniform(0.0, 5.0)
        before, name = site.started(), site.queue(change)
        until(lambda name=name: site.state(name) in {"Running", "Completed"}, 240)
        time.sleep(moment)
        kill(site, victim, name)
        state = site.ended(name)
        print(f"seed {seed} trial {trial}: {victim} killed after {moment:.2f} s: {state}", end="")
        assert state in {"Completed", "Failed", "Crashed"}, victim
        if state == "Completed":
            assert site.started() - before == len(BELOW_TRAIN)
        else:
            assert victim != "worker", site.logs(site.run(name).id)
            assert site.experiment(name) == ""
            finished = {stage for stage, word in site.stages(name).items() if word in {"Completed", "Cached"}}
            name = site.queue(change)
            assert site.ended(name) == "Completed"
            stages = site.stages(name)
            print(f", {len(finished)} stages were finished; again: Completed", end="")
            assert {stages[stage] for stage in finished} <= {"Cached"}
        print(f", {site.started() - before} stages started")
        assert site.parameter(name, "learning_rate") == float(change.split("=")[1])
        until(lambda: not site.left())
    assert "up to date" in site.toy.dvc("status")


def test_slots_held_while_the_server_dies_come_back(site: Site, held: Callable[[str], Path]) -> None:
    """A stage that holds a slot ends while the server is away; the stages and runs after it need the same slot."""
    gate, before = held("train"), site.started()
    name = site.queue("train.learning_rate=4.5e-4")
    stage = psutil.Process(site.toy.held("train"))
    site.server.kill()
    gate.unlink()
    until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    site.server.start()
    assert site.ended(name) == "Completed"
    again = site.queue("train.learning_rate=4.6e-4")
    assert site.ended(again) == "Completed"
    assert site.started() - before == 2 * len(BELOW_TRAIN)
    until(lambda: not site.left())


def test_a_second_worker_on_one_run_leaves_it_alone(site: Site, held: Callable[[str], Path]) -> None:
    gate = held("train")
    name = site.start("train.learning_rate=4e-4")
    site.toy.held("train")
    site.toy.environment["TEMPER_PROJECT"] = str(site.toy.path)  # as the worker has it for its runs
    output = site.toy.call(sys.executable, "-m", "prefect", "flow-run", "execute", str(site.run(name).id), check=False)
    assert "aborted by orchestrator" in output  # Prefect's words, whoever refused it
    assert site.state(name) == "Running"
    gate.unlink()
    assert site.ended(name) == "Completed"
    assert site.parameter(name, "learning_rate") == 4e-4
    until(lambda: not site.left())


def test_a_run_whose_worker_died_with_it_ends_crashed(site: Site, held: Callable[[str], Path]) -> None:
    gate = held("merge")
    name = site.start("train.learning_rate=5e-4")
    stage = psutil.Process(site.toy.held("merge"))
    site.worker.kill()
    site.worker.wait()
    for process in site.processes(name):
        process.kill()
    until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    gate.unlink()
    assert site.state(name) == "Running"  # nobody is left to tell the server
    site.worker = site.hire()
    assert site.ended(name) == "Crashed"
    again = site.start("train.learning_rate=5e-4")
    assert site.ended(again) == "Completed"
    stages = site.stages(again)
    assert stages["train"] == "Cached"
    assert {stage for stage, state in stages.items() if state == "Completed"} == BELOW_TRAIN - {"train"}
    until(lambda: not site.left())


@pytest.mark.skipif(programs() is None, reason="no PostgreSQL here (Debian: apt-get install postgresql)")
def test_a_restart_of_postgres_in_mid_run_loses_nothing(finished: Path, tmp_path: Path) -> None:
    with postgres() as base, deployed(finished, tmp_path, PREFECT_API_DATABASE_CONNECTION_URL=base.url) as site:
        gate = site.toy.hold("train")
        name = site.start("train.learning_rate=6e-4")
        site.toy.held("train")
        base.restart()
        gate.unlink()
        assert site.ended(name) == "Completed"
        assert site.parameter(name, "learning_rate") == 6e-4
        assert set(site.stages(name).values()) <= {"Cached", "Completed"}
