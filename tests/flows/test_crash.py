"""`kill -9` of a stage, of the flow, and in the moment that dvc.lock is written; then the next run goes on."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import pytest

from flows.bridge import remove_stale_locks
from flows.server import credentials
from flows.worktree.zombies import reap
from tasks.core.errors import StageFailed
from tasks.core.paths import Paths
from tests.flows.project import BELOW_TRAIN, Toy, until


def test_a_killed_stage_is_named_and_the_next_run_goes_on(toy: Toy) -> None:
    before = toy.lock
    toy.set("train.learning_rate=1e-4")
    with pytest.raises(StageFailed, match=r"train was killed by SIGKILL\."):
        toy.meanwhile("train", lambda: os.kill(toy.held("train"), signal.SIGKILL))
    assert toy.lock == before
    assert {stage for stage, how in toy.flow().items() if how == "ran"} == BELOW_TRAIN


@pytest.mark.long
@pytest.mark.parametrize("deadly", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_stage_ends_with_the_flow_and_the_next_run_goes_on(toy: Toy, deadly: signal.Signals) -> None:
    before = toy.lock
    toy.set("train.learning_rate=1e-4")
    gate = toy.hold("train")
    run = toy.temper("run")
    stage = psutil.Process(toy.held("train"))
    os.kill(run.pid, deadly)
    stderr = run.communicate()[1]
    assert "Traceback" not in stderr
    assert run.returncode == 128 + deadly
    by = "Ctrl-C" if deadly == signal.SIGINT else deadly.name
    assert stderr.count(f"temper run: stopped by {by}; finished stages are kept.") == 1
    until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    assert toy.lock == before
    gate.unlink()
    assert {stage for stage, how in toy.flow().items() if how == "ran"} == BELOW_TRAIN
    assert "up to date" in toy.dvc("status")


def test_with_a_run_that_was_killed_its_stage_ends_and_the_next_command_says_so_and_goes_on(toy: Toy) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    def state() -> tuple[str, set[str]]:
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(entry.stem))
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
        return str(run.state and run.state.name), {str(task.state and task.state.name) for task in tasks}

    lock = toy.lock
    toy.set("train.learning_rate=2e-4")
    gate, before = toy.hold("train"), set(Paths(toy.path).flow_runs.glob("*.json"))
    run = toy.temper("run")
    stage = psutil.Process(toy.held("train"))
    (entry,) = set(Paths(toy.path).flow_runs.glob("*.json")) - before
    lines: list[str] = []
    reap(lines.append)  # as each command does
    assert lines == []
    assert state()[0] == "Running"
    run.kill()
    assert "Traceback" not in run.communicate()[1]
    until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    assert toy.lock == lock
    gate.unlink()
    stdout, stderr = toy.temper("run").communicate()
    assert "is Crashed: its process had died" in stderr
    name, tasks = state()
    assert name == "Crashed"
    assert tasks <= {"Cached", "Crashed"}
    assert not entry.exists()
    assert set(re.findall(r"^(\S+) +ran ", stdout, re.MULTILINE)) == BELOW_TRAIN
    assert "up to date" in toy.dvc("status")


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


class Relay(ThreadingTCPServer):
    """An address that leads to the server at `port` until it is cut: to its clients that server is dead then."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), Relayed)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api"

    def cut(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Relayed(BaseRequestHandler):
    """One connection through a relay, both ways."""

    server: Relay

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as there:
            self.server.connections += [self.request, there]
            threading.Thread(target=self.pass_on, args=(self.request, there), daemon=True).start()
            self.pass_on(there, self.request)

    @staticmethod
    def pass_on(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(2**16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


def test_a_server_that_dies_costs_no_finished_stage(toy: Toy) -> None:
    api = toy.environment["PREFECT_API_URL"]
    relay = Relay(urlsplit(api).port or 0)
    toy.environment.update(
        PREFECT_API_URL=relay.api, PREFECT_API_AUTH_STRING=credentials.known(api), PREFECT_CLIENT_MAX_RETRIES="0"
    )
    toy.set("train.learning_rate=1e-4")
    gate = toy.hold("train")
    run = toy.temper("run")
    toy.held("train")
    relay.cut()
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
