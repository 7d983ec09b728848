"""A toy project that is deployed: a real server, a real worker, and what they say of runs."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, Worker
from ruamel.yaml import YAML

from benchmarks.server import Server, running
from flows.params.model import nested
from flows.server import credentials
from tasks.core.paths import Paths
from tests.flows.project import ROOT, Toy, until

SECRET = "hf_planted0secret0value"
"""In the environment of the worker; it must come out nowhere."""

POLL = 0.5
"""Seconds between two questions about a run: a server that is asked all the time has none for its runs."""

PATIENCE = 900.0
"""Seconds until a run that does not end counts as lost: a server on SQLite may stand still for a minute, more than
once, where several processes write to it on busy cores."""


class Site:
    """A toy project that is deployed, with a worker at work, and the server that both know."""

    def __init__(
        self, toy: Toy, client: SyncPrefectClient, server: Server, *options: str, pool: str = "temper"
    ) -> None:
        self.toy = toy
        self.pool = pool
        self.client = client
        self.server = server
        self.worker = self.hire(*options)

    def hire(self, *options: str, under: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
        """Start a worker, by the command `under` where there is one, and return when it is at work."""
        before = {worker.last_heartbeat_time for worker in self._workers()}
        with (self.toy.path.parent / "worker.log").open("a") as log:
            worker = subprocess.Popen(
                [*under, sys.executable, "-m", "flows.cli.main", "worker", *options],
                cwd=self.toy.path,
                env=self.toy.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(lambda: {one.last_heartbeat_time for one in self._workers()} - before, PATIENCE, POLL)
        return worker

    def dismiss(self) -> None:
        """End the worker and what it started, where a test that failed has not."""
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.worker.pid).children(recursive=True)
            for process in (*family, psutil.Process(self.worker.pid)):
                process.terminate()
        self.worker.wait(60)

    def _workers(self) -> list[Worker]:
        return [one for one in self.client.read_workers_for_work_pool(self.pool) if one.status == "ONLINE"]

    def start(self, *changes: str) -> str:
        """Queue a run; return its name."""
        output = self.toy.command("start", *(word for change in changes for word in ("--set", change)))
        return output.split("Queued as ")[1].split()[0]

    def queue(self, change: str) -> str:
        """The same as `start`, without a process for it."""
        deployment = self.client.read_deployment_by_name("finetune/temper")
        run = self.client.create_flow_run_from_deployment(deployment.id, parameters={"settings": nested([change])})
        return run.name

    def run(self, name: str) -> FlowRun:
        (flow_run,) = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
        return flow_run

    def state(self, name: str) -> str:
        state = self.run(name).state
        return str(state.name) if state else ""

    def ended(self, name: str) -> str:
        """Wait for the end of a run; return the name of its last state."""
        return str(until(lambda: self.state(name) if self._final(name) else "", PATIENCE, POLL))

    def stages(self, name: str) -> dict[str, str]:
        states: dict[str, str] = {}
        mine = FlowRunFilter(id=FlowRunFilterId(any_=[self.run(name).id]))
        for task in self.client.read_task_runs(flow_run_filter=mine):
            if task.state:
                states[task.name] = str(task.state.name)
        return states

    def logs(self, run: UUID) -> str:
        where = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
        return "\n".join(line.message for line in self.client.read_logs(log_filter=where, limit=200))

    def parameter(self, name: str, key: str) -> Any:
        """A parameter of train, as the experiment of that run has it."""
        text = self.toy.call("git", "show", f"{self.experiment(name)}:params.yaml")
        return YAML(typ="safe").load(text)["train"][key]

    def experiment(self, name: str) -> str:
        refs = self.toy.call("git", "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        return next((ref for ref in refs if ref.endswith(f"/{name}")), "")

    def working(self) -> list[psutil.Process]:
        """The stage processes of this site's runs, and of no other's."""
        processes = []
        for process in psutil.process_iter(["cmdline", "cwd"]):
            line, folder = process.info["cmdline"] or [], process.info["cwd"] or "/"
            if line[1:2] == ["work.py"] and Path(folder).is_relative_to(self.toy.path):
                processes.append(process)
        return processes

    def processes(self, name: str) -> list[psutil.Process]:
        """The processes that carry out a run: Prefect's, none of its stages'."""
        run, processes = str(self.run(name).id), []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("PREFECT__FLOW_RUN_ID") == run
                if mine and not set(process.cmdline()) & {"work.py", "git", "dvc"}:
                    processes.append(process)
        return processes

    def started(self) -> int:
        """How many stage processes began to work, in all runs."""
        return sum(count.stat().st_size for count in self.toy.gate.glob("count-*"))

    def left(self) -> list[Path]:
        return list(Paths(self.toy.path).worktrees.glob("*"))

    def _final(self, name: str) -> bool:
        state = self.run(name).state
        return bool(state and state.is_final())


def _client(url: str) -> SyncPrefectClient:
    return SyncPrefectClient(url, auth_string=credentials.known(url))


@contextmanager
def deployed(finished: Path, folder: Path, *, runs: dict[str, str] | None = None, **environment: str) -> Iterator[Site]:
    """A copy of the finished toy in `folder`, deployed, with a worker at work.

    `environment` is for the server, `runs` for the worker and what it starts.
    """
    checkout = folder / "toy"
    shutil.copytree(finished, checkout)
    shutil.copytree(ROOT / "infra", checkout / "infra")
    # a client of its own: settings of this process would hold for all tests that come after, of other servers
    with running(**environment) as server, _client(server.url) as client:
        toy = Toy(checkout, server.url)
        toy.environment.update(HF_TOKEN=SECRET, PREFECT_HOME=str(checkout.parent / "home"), **(runs or {}))
        toy.call("git", "add", "--all")
        toy.call("git", "commit", "--quiet", "--message", "infra")
        output = toy.command("deploy")
        assert "temper worker" in output
        site = Site(toy, client, server)
        try:
            yield site
        finally:
            site.dismiss()
