"""A Prefect server for the length of one run, on a port of its own: `python -m flows.server.own SOCKET`.

Prefect would start one, too; it would live on after a kill, and get the Ctrl-C that is meant for the run, which then
could not tell anybody how it ended. This one has a session of its own, and a guardian.
"""

import atexit
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from flows.server.garbage import collect
from flows.server.prefect_private import TEMPORARY, serve_on, write_at_once
from flows.system.guardian import guarded
from tasks.core.errors import MachineError

LIMIT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
"""Prefect's setting for the same."""

PATIENCE = 180
"""Seconds that the server may take to start where `LIMIT` is not set: 11 on two quiet cores."""

GRACE = 5.0
"""Seconds between asking the server to end and ending it."""

LOOK = 0.1
"""Seconds between two looks whether it answers."""

_servers: list["subprocess.Popen[bytes]"] = []


def start() -> str:
    """Start a server that ends with this process; return its API, which answers after `wait`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.server.own", str(listening.fileno())],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **TEMPORARY, **guarded(), "PREFECT_API_URL": url},
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
    _servers.append(server)
    atexit.register(_stop, server)
    return url


def temporary() -> bool:
    """Whether this process has started a server of its own, whose pages nobody can open afterwards."""
    return bool(_servers)


def wait(answers: Callable[[], bool]) -> None:
    """Return when the server that `start` started `answers`; raises `MachineError` where it does not."""
    seconds = float(os.environ.get(LIMIT, PATIENCE))
    end = time.monotonic() + seconds
    while time.monotonic() < end and _servers[-1].poll() is None:
        if answers():
            return
        time.sleep(LOOK)
    raise MachineError(
        "the Prefect server of this run did not start in time; start one with `temper ui` in another terminal, then "
        "run again."
    )


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(GRACE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    collect()
    write_at_once()
    serve_on(int(sys.argv[1]))
