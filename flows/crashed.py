"""Flow runs whose process died when nobody could tell the server, which takes them for running: the next one tells it.

A worker tells the server when a run's process ends, unless it died with it or the server was away. So each process
notes which flow run it carries out; an entry whose process is gone is looked into at the next start, and removed.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort, ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Cancelled, Crashed

from flows.workspace import home, recover
from tasks.contract.files import write_json

ENTRIES = Path(".dvc/tmp/flow-runs")

MESSAGE = "The process of this run died. What it finished is kept; start it again to go on."


def enter() -> None:
    """Note that this process carries out the current flow run; raises `Abort` where another, living one does."""
    entry = home() / ENTRIES / f"{flow_run.id}.json"
    me = psutil.Process()
    if entry.exists() and (about := json.loads(entry.read_text()))["pid"] != me.pid and _alive(about):
        raise Abort("another process carries out this flow run; this one leaves its state alone")
    entry.parent.mkdir(parents=True, exist_ok=True)
    with get_client(sync_client=True) as client:
        count = client.read_flow_run(UUID(flow_run.id)).run_count
    write_json(entry, {"pid": me.pid, "born": me.create_time(), "host": socket.gethostname(), "count": count})


def bury(tell: Callable[[str], None]) -> None:
    """Remove what dead runs left behind; those that the server takes for running end as *Crashed* or *Cancelled*."""
    recover(tell)
    entries = {entry: json.loads(entry.read_text()) for entry in (home() / ENTRIES).glob("*.json")}
    if dead := [entry for entry, about in entries.items() if not _alive(about)]:
        with get_client(sync_client=True) as client:
            for entry in dead:
                _close(client, entry, entries[entry]["count"], tell)
                entry.unlink(missing_ok=True)


def _close(client: SyncPrefectClient, entry: Path, count: int, tell: Callable[[str], None]) -> None:
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


def _alive(about: dict[str, Any]) -> bool:
    """Whether the process of an entry lives; of another host's nobody here can know."""
    if about["host"] != socket.gethostname():
        return True
    try:
        return bool(psutil.Process(about["pid"]).create_time() == about["born"])
    except psutil.NoSuchProcess:
        return False
