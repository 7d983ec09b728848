"""The slot of a worker that a flow run holds: what it queues and waits for, it carries out there itself.

A worker counts a run that waits for others like one that works. Where all slots are held by runs that wait, those they
wait for would never start: a sweep on a worker that takes one run at a time would wait for ever.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Cancelled, Pending

from flows.deploy.worker import deployment_fault
from flows.system.guardian import guarded
from flows.worktree.zombies import reserve_flow_run, reserving
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS
from tasks.core.settings import read

GRACE = 60.0
"""Seconds that a run has for its last words, once it has ended for the server."""

SHORT = 15.0
"""Seconds that a run which was told to end has for it: a worker kills who told it 30 seconds after."""

OF_RUN = "PREFECT__"
"""How the names of variables begin by which Prefect tells a process which run it carries out."""


class OwnSlot:
    """A context: carries out one run at a time, in a process of its own; what is under way ends with the block.

    Example:

        with OwnSlot() as slot:
            while waiting:
                slot.take(client, queued)
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._settle: Callable[[], None] = lambda: None
        self._held = ExitStack()

    def take(self, client: SyncPrefectClient, queued: Sequence[UUID]) -> FlowRun | None:
        """Carry out the first of these runs that nobody has begun, where this slot is free; return it.

        It is reserved as workers do it, so that no worker takes it as well, and limits of its deployment hold. Raises
        `MachineError` where its deployment names more than this folder's infra/prefect.yaml.
        """
        if self._process and self._process.poll() is None:
            return None
        for flow_run_id in queued:
            flow_run = client.read_flow_run(flow_run_id)
            if _due(flow_run) and _reserved(client, flow_run):
                reserve_flow_run(flow_run)
                self._process, self._settle = _started(flow_run), partial(_settle, client, flow_run_id)
                reserve_flow_run(flow_run, self._process.pid)
                return flow_run
        return None

    def __enter__(self) -> "OwnSlot":
        self._held.enter_context(reserving())
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._held:
            self._end(kind)

    def _end(self, kind: type[BaseException] | None) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(GRACE if kind is None else SHORT)
        except subprocess.TimeoutExpired:
            self._process.kill()  # what it started ends with this process: see `guarded`
            self._process.wait()
        if kind is not None:
            self._settle()


def _settle(client: SyncPrefectClient, flow_run_id: UUID) -> None:
    """Tell the server that a run is over whose process had no time to; else it would be shown as running for ever."""
    with suppress(httpx.HTTPError):  # the server is away: the next command of this project tells it
        state = client.read_flow_run(flow_run_id).state
        if state and not state.is_final():
            client.set_flow_run_state(flow_run_id, Cancelled(message="stopped with its sweep"), force=True)


def _due(flow_run: FlowRun) -> bool:
    """Whether it is queued, and not put off until later."""
    state = flow_run.state
    if state is None or not state.is_scheduled():
        return False
    time = state.state_details.scheduled_time
    return time is None or time <= datetime.now(UTC)


def _reserved(client: SyncPrefectClient, flow_run: FlowRun) -> bool:
    deployment = client.read_deployment(flow_run.deployment_id) if flow_run.deployment_id else None
    if fault := deployment_fault(deployment, read(PATHS.deployments, "safe"), Path.cwd()):
        raise MachineError(f"'{flow_run.name}' is not run here: {fault}")
    return client.set_flow_run_state(flow_run.id, Pending()).status == SetStateStatus.ACCEPT


def _started(flow_run: FlowRun) -> "subprocess.Popen[bytes]":
    """Prefect's own command for it, which also ends the run when it is cancelled, and says when it crashed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_RUN)}
    command = [sys.executable, "-m", "prefect", "flow-run", "execute", str(flow_run.id)]
    return subprocess.Popen(command, env={**environment, **guarded()}, stdin=subprocess.DEVNULL)
