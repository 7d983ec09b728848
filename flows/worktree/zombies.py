"""Flow runs whose process died when nobody could tell the server, which takes them for running: the next one tells it.

A worker tells the server when a run's process ends, unless it died with it or the server was away. So each process
notes which flow run it carries out, and holds a lock as long as it lives; an entry that nobody holds is looked into at
the next start, and removed. The kernel knows who holds a lock; the time at which a process was born, by which it could
be told from a later one of the same number, moves when the clock is set.
"""

import atexit
import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort, ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Cancelled, Crashed

from flows.server.retry import retry
from flows.system.file_lock import file_lock, patience
from flows.worktree.worktree import home, recover
from tasks.core.files import write_json
from tasks.core.paths import Paths

MESSAGE = "The process of this run died. What it finished is kept; start it again to go on."

PATIENCE = 10.0
"""Seconds for which an entry may be held by a process that only looks into it."""

_held: set[Path] = set()
"""The entries of this process."""


def claim_flow_run() -> None:
    """Note that this process carries out the current flow run; raises `Abort` where another, living one does."""
    entry = Paths(home()).flow_runs / f"{flow_run.id}.json"
    if entry not in _held:
        elsewhere = Abort("another process carries out this flow run; this one leaves its state alone")
        lives = ExitStack()
        lives.enter_context(file_lock(entry.with_suffix(".lock"), patience(PATIENCE, elsewhere)))
        atexit.register(lives.close)  # not before: the server hears of the end after the flow has returned
        _held.add(entry)
    write_json(entry, {"host": socket.gethostname(), "count": retry(_count)})


def _count() -> int:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(UUID(flow_run.id)).run_count


def reap(tell: Callable[[str], None]) -> None:
    """Remove what dead runs left behind; those that the server takes for running end as *Crashed* or *Cancelled*."""
    recover(tell)
    for entry in Paths(home()).flow_runs.glob("*.json"):
        with file_lock(entry.with_suffix(".lock")) as dead:
            if dead and entry.exists() and (about := json.loads(entry.read_text()))["host"] == socket.gethostname():
                retry(partial(_close, entry, about["count"], tell))
                entry.unlink()


def _close(entry: Path, count: int, tell: Callable[[str], None]) -> None:
    with get_client(sync_client=True) as client:
        try:
            run = client.read_flow_run(UUID(entry.stem))
        except ObjectNotFound:
            return
        if run.run_count != count or run.state is None:
            return  # it was started again, elsewhere
        if run.state.is_running() or run.state.is_cancelling():
            end: State[None] = Cancelled(message=MESSAGE) if run.state.is_cancelling() else Crashed(message=MESSAGE)
            client.set_flow_run_state(run.id, end, force=True)
            tell(f"the run {run.name} is {end.name}: its process had died")
