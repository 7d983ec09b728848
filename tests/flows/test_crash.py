"""`kill -9` of a stage, of the flow, and in the moment that dvc.lock is written; then the next run goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from flows.bridge import remove_stale_locks
from flows.server.connect import answers
from tasks.core.errors import StageFailed
from tasks.core.paths import Paths
from tests.flows.project import BELOW_TRAIN, Toy, until


def test_a_killed_stage_is_named_and_the_next_run_goes_on(toy: Toy) -> None:
    before = toy.lock
    toy.set("train.learning_rate=1e-4")
    gate = toy.hold("train")
    run = toy.temper("run")
    os.kill(toy.held("train"), signal.SIGKILL)
    stderr = run.communicate()[1]
    assert run.returncode == 1
    assert "train was killed by SIGKILL." in stderr
    assert "Traceback" not in stderr
    assert toy.lock == before
    gate.unlink()
    assert {stage for stage, how in toy.flow().items() if how == "ran"} == BELOW_TRAIN


@pytest.mark.parametrize(
    "deadly",
    [
        signal.SIGKILL,
        *(pytest.param(kind, marks=pytest.mark.long) for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_the_stage_ends_with_the_flow_and_the_next_run_goes_on(toy: Toy, deadly: signal.Signals) -> None:
    before = toy.lock
    toy.set("train.learning_rate=1e-4")
    gate = toy.hold("train")
    run = toy.temper("run")
    stage = psutil.Process(toy.held("train"))
    os.kill(run.pid, deadly)
    stderr = run.communicate()[1]
    assert "Traceback" not in stderr
    if deadly == signal.SIGKILL:
        assert run.returncode == -deadly
    else:
        assert run.returncode == 128 + deadly
        assert stderr.count(f"temper run: stopped by {deadly.name}; finished stages are kept, run again") == 1
    until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    assert toy.lock == before
    gate.unlink()
    assert {stage for stage, how in toy.flow().items() if how == "ran"} == BELOW_TRAIN
    assert "up to date" in toy.dvc("status")


def test_a_run_that_was_killed_ends_crashed_with_the_next_command(toy: Toy) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    def state() -> tuple[str, set[str]]:
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(entry.stem))
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
        return str(run.state and run.state.name), {str(task.state and task.state.name) for task in tasks}

    toy.set("train.learning_rate=2e-4")
    gate, before = toy.hold("train"), set(Paths(toy.path).flow_runs.glob("*.json"))
    run = toy.temper("run")
    stage = psutil.Process(toy.held("train"))
    (entry,) = set(Paths(toy.path).flow_runs.glob("*.json")) - before
    toy.temper("start").communicate()  # of a living run it says nothing, whatever becomes of its own request
    assert state()[0] == "Running"
    run.kill()
    run.communicate()
    until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    gate.unlink()
    stderr = toy.temper("run").communicate()[1]
    assert "is Crashed: its process had died" in stderr
    name, tasks = state()
    assert name == "Crashed"
    assert tasks <= {"Cached", "Crashed"}
    assert not entry.exists()


def test_claims_of_the_dead_go_also_where_their_number_lives_on(toy: Toy) -> None:
    claims = Path(".dvc/tmp/rwlock")
    live = psutil.Process()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        claim = {"pid": other.pid, "cmd": "temper run"}  # the number is another process's by now
        mine = {"pid": live.pid, "cmd": "dvc repro"}
        claims.write_text(
            json.dumps({"read": {"/a": [claim, mine], "/b": [claim]}, "write": {"/c": claim, "/d": mine}})
        )
        between = (live.create_time() + psutil.Process(other.pid).create_time()) / 2
        os.utime(claims, (between, between))
        remove_stale_locks()
        left = json.loads(claims.read_text())
        assert left["write"] == {"/d": mine}
        assert left["read"] == {"/a": [mine]}
        other.communicate(b"\n")
    claims.write_text('{"read": {"/a"')  # as a kill leaves it
    remove_stale_locks()
    assert not claims.exists()


def test_a_killed_server_costs_no_finished_stage(toy: Toy, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    api, own = toy.environment["PREFECT_API_URL"], f"http://127.0.0.1:{port}/api"
    toy.environment.update(PREFECT_API_URL=own, PREFECT_HOME=str(tmp_path / "home"), PREFECT_CLIENT_MAX_RETRIES="0")
    server = toy.temper("ui", "--port", str(port))
    until(lambda: answers(own))
    toy.set("train.learning_rate=1e-4")
    gate = toy.hold("train")
    run = toy.temper("run")
    toy.held("train")
    server.kill()
    server.communicate()
    gate.unlink()
    stderr = run.communicate()[1]
    assert "Traceback" not in stderr
    assert "the Prefect server no longer answers" in stderr
    assert run.returncode == 1
    toy.environment["PREFECT_API_URL"] = api
    assert toy.flow()["train"] == "unchanged"
    assert "up to date" in toy.dvc("status")


@pytest.mark.parametrize("size", [0.5, 0.0])
def test_a_lock_file_cut_off_is_mended(toy: Toy, size: float) -> None:
    before = toy.lock
    Path("dvc.lock").write_bytes(before[: int(len(before) * size) - 3] if size else b"")
    outcomes = toy.flow()
    assert "ran" not in outcomes.values()
    assert toy.lock == before


def test_a_lock_file_that_git_does_not_have_is_rebuilt_from_the_cache(toy: Toy) -> None:
    before = toy.lock
    toy.call("git", "rm", "--quiet", "--cached", "dvc.lock")
    toy.call("git", "commit", "--quiet", "--message", "no lock")
    Path("dvc.lock").write_bytes(before[: len(before) // 2] + b"\n  : [")
    outcomes = toy.flow()
    assert set(outcomes.values()) == {"restored"}
    assert toy.lock == before


def test_a_stage_that_forgets_an_output_is_named(toy: Toy) -> None:
    text = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text.replace("outs: [data/merged]", "outs: [data/merged, data/other]"))
    with pytest.raises(StageFailed, match="merge: the command succeeded but did not write data/other"):
        toy.flow()
