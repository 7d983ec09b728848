"""What flows use of Prefect that its documentation does not list: when an upgrade moves a name, mend it here.

Prefect reads its environment when it is imported, so nothing of it is imported before a function is called.
"""

import logging
import socket
from collections.abc import Collection
from typing import Any

from tasks.core.errors import MachineError
from tasks.serve.guard import Guard

LEASE_STORAGE = "prefect.server.concurrency.lease_storage.filesystem"
"""The module that keeps on disk who has slots of a concurrency limit."""


TEMPORARY = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect puts into the environment of a server that it starts for the length of a run."""


def serve_on(descriptor: int) -> None:
    """Serve Prefect's API on the listening socket with this file descriptor, until a signal asks for the end."""
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(uvicorn.Config(Guard(create_app()), log_level="error", lifespan="on"))
    server.run(sockets=[socket.socket(fileno=descriptor)])


def write_at_once() -> None:
    """Have transactions of Prefect's server on SQLite take the write lock as they begin, where they may wait for it.

    Prefect lets most read first. If another one writes meanwhile, such a transaction cannot wait: it fails, again and
    again on a busy server. Prefect's own comment, beside the setting of its connections, names this way out.
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    begin = AioSqliteConfiguration.begin_transaction

    def immediately(self: Any, session: Any, with_for_update: bool = False) -> Any:
        return begin(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = immediately  # type: ignore[method-assign]


def guard(origins: Collection[str]) -> None:
    """Have the server that Prefect's command starts in this process stand behind `Guard`.

    Prefect hands its application to `uvicorn.run`, and offers no place for one in front of all of it.
    """
    import uvicorn

    run = uvicorn.run

    def run_guarded(app: Any, **options: Any) -> None:
        if not callable(app):
            raise MachineError("several processes of one server cannot be guarded; start it without --workers.")
        run(Guard(app, origins), **options)

    uvicorn.run = run_guarded


def command_line() -> None:
    """Carry out Prefect's own command with the arguments of this process."""
    from prefect.cli import app

    app()


def without_hooks() -> None:
    """Have the worker in this process not load the flow of a run that was cancelled, or crashed, to look for its hooks.

    temper's flows have none. Loading one imports the project's code into the worker, and its steps are logged again, as
    if the run began anew.
    """
    from prefect import Flow
    from prefect.workers import process

    async def hookless(flow_run: Any) -> "Flow[[], None]":
        return Flow(lambda: None, name="hookless")

    vars(process)["load_flow_from_flow_run"] = hookless


def emit(event: str, resource: dict[str, str], payload: dict[str, Any]) -> None:
    """Emit an event; return when the server has it."""
    from prefect.events.clients import get_events_client  # noqa: F401
    from prefect.events.utilities import emit_event
    from prefect.events.worker import EventsWorker

    emit_event(event=event, resource=resource, payload=payload)
    logging.getLogger(EventsWorker.__name__).setLevel(logging.ERROR)  # it warns of each item on its way: this one
    EventsWorker.instance().drain()
