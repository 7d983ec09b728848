"""Flow runs whose process died when nobody could tell the server, which takes them for running: the next one tells it.

A worker tells the server when a run's process ends, unless it died with it or the server was away; of a run in a
terminal nobody does. So each process notes which flow run it carries out, and who it is, and holds a lock as long as
it lives; an entry that nobody holds is looked into by the next command, and removed. A process takes seconds to come so
far, so who reserves a queued run for it notes that first.
"""

import atexit
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, TaskRun
from prefect.exceptions import Abort, ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Cancelled, Crashed

from flows.server.retry import retry
from flows.system.file_lock import file_lock, patience
from flows.worktree.worktree import home, recover
from tasks.core.files import write_json
from tasks.core.identity import Identity, current, started
from tasks.core.paths import Paths
from tasks.core.temporary import KEPT

MESSAGE = "The process of this run died. Finished stages are kept; start it again to continue."

PATIENCE = 10.0
"""Seconds for which an entry may be held by a process that only looks into it."""

PAGE = 100
"""Task runs that are asked for at a time."""

UNDER_WAY = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
"""States that a dead process leaves behind; what is scheduled, or paused, waits for a process anyway."""

_held: set[Path] = set()
"""The entries of this process."""


def claim_flow_run() -> None:
    """Note that this process carries out the current flow run; raises `Abort` where another, living one does."""
    entry = Paths(home()).flow_runs / f"{flow_run.id}.json"
    if entry not in _held:
        elsewhere = Abort("another process executes this flow run; this one does not change its state")
        lives = ExitStack()
        lives.enter_context(file_lock(entry.with_suffix(".lock"), patience(PATIENCE, elsewhere)))
        atexit.register(lives.close)  # not before: the server hears of the end after the flow has returned
        _held.add(entry)
    write_json(entry, {"host": socket.gethostname(), "process": str(current()), "count": retry(_count)})


@contextmanager
def reserving() -> Iterator[None]:
    """A process that calls `reserve_flow_run` does so in this block, and holds a lock in it.

    It shows other containers on this machine, where process numbers say nothing, that what it reserved has a process.
    """
    with file_lock(_reserver(str(current()))):
        yield


def reserve_flow_run(run: FlowRun, pid: int | None = None) -> None:
    """Note that this process has reserved a run, as the server queued it, and `pid` is to carry it out.

    Without `pid` there is no such process yet. It replaces the entry by `claim_flow_run`.
    """
    mine = current()
    process = mine if pid is None else Identity(pid, started(pid) or 0, *mine[2:])
    entry = {"process": str(process), "reserver": str(mine), "queued": str(run.state_id)}  # to workers `state` is None
    write_json(Paths(home()).flow_runs / f"{run.id}.json", entry)


def _reserver(process: str) -> Path:
    return Paths(home()).flow_runs / f"reserver-{process}.lock"


def _count() -> int:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(UUID(flow_run.id)).run_count


def reap(tell: Callable[[str], None]) -> None:
    """Remove what dead runs left behind; those that the server takes for running end as *Crashed* or *Cancelled*.

    A run that the server does not know was another server's: its entry is kept for `KEPT`.
    """
    recover(tell)
    folder = Paths(home()).flow_runs
    for entry in folder.glob("*.json"):
        with file_lock(entry.with_suffix(".lock")) as free:
            if free and entry.exists() and _died(about := json.loads(entry.read_text())):
                known = retry(partial(_close, entry, about, tell))
                if known or time.time() - entry.stat().st_mtime > KEPT:
                    entry.unlink()
    for lock in folder.glob("reserver-*.lock"):
        _held_by_nobody(lock)


def _died(about: dict[str, Any]) -> bool:
    """Whether the process of an entry that nobody holds has ended; of one on another host nobody here can say so."""
    process = Identity.parse(about.get("process", ""))
    if process is None:  # an older version wrote it
        return bool(about["host"] == socket.gethostname())
    elsewhere = process.same_kernel() and process.namespace != current().namespace
    return process.dead() or (elsewhere and ("queued" not in about or _held_by_nobody(_reserver(about["reserver"]))))


def _held_by_nobody(lock: Path) -> bool:
    """Whether the process that held it has died; the file is removed then."""
    with file_lock(lock) as free:
        return free


def _close(entry: Path, about: dict[str, Any], tell: Callable[[str], None]) -> bool:
    """Tell the server that a run has ended, with all that its process carried out; False where it knows no such run."""
    with get_client(sync_client=True) as client:
        try:
            run = client.read_flow_run(UUID(entry.stem))
        except ObjectNotFound:
            return False
        if run.state is None or not _same_start(client, run, about):
            return True  # it was started again, elsewhere
        if run.state.is_running() or run.state.is_cancelling() or (run.state.is_pending() and "queued" in about):
            end: State[None] = Cancelled(message=MESSAGE) if run.state.is_cancelling() else Crashed(message=MESSAGE)
            _end(client, run, end)
            tell(f"the run {run.name} is {end.name}: its process had died")
        return True


def _same_start(client: SyncPrefectClient, run: FlowRun, about: dict[str, Any]) -> bool:
    """Whether the run is at the start of it that an entry is about: as often begun, or not queued again since."""
    if "queued" not in about:
        return bool(run.run_count == about["count"])
    queued = [state for state in client.read_flow_run_states(run.id) if state.is_scheduled()]
    return bool(queued) and str(max(queued, key=lambda state: state.timestamp).id) == about["queued"]


def _end(client: SyncPrefectClient, run: FlowRun, end: "State[None]") -> None:
    """Set a run to `end`, and before it what it began in its process: runs of a deployment have one of their own."""
    for task in list(_tasks(client, run)):
        client.set_task_run_state(task.id, end, force=True)
    parent = FlowRunFilterParentFlowRunId(any_=[run.id])
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY))
    for inner in client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parent, state=state)):
        if inner.deployment_id is None:
            _end(client, inner, end)
    client.set_flow_run_state(run.id, end, force=True)


def _tasks(client: SyncPrefectClient, run: FlowRun) -> Iterator[TaskRun]:
    """The task runs of `run` that are under way."""
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    state = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNDER_WAY)))
    start = 0
    while page := client.read_task_runs(flow_run_filter=mine, task_run_filter=state, limit=PAGE, offset=start):
        yield from page
        start += len(page)


if __name__ == "__main__":
    reap(lambda line: print(line, flush=True))
