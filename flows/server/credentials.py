"""The password of the Prefect servers that this user starts here, so that nobody else can use them.

It stands in a file that only this user can read, never in the project, on a command line or in a log. Whoever can reach
a server's port without it (a page in the browser, another user) gets nothing.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from flows.system.private import private_text, write_private_text
from tasks.core.errors import MachineError
from tasks.serve.guard import LOOPBACK

CLIENT, SERVER = "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
"""What Prefect's clients send and what its server wants: NAME:PASSWORD."""

LISTENING = "0A"
"""State of a socket in Linux's table of them."""


def file() -> Path:
    """Where NAME:PASSWORD stands: in the user's folder for state (XDG Base Directory Specification)."""
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    except RuntimeError:
        raise MachineError(f"this user has no home folder; set XDG_STATE_HOME to one, or {SERVER}.") from None
    return Path(state) / "temper/server-password"


def own() -> str:
    """NAME:PASSWORD of the servers of this user; made by the first that asks. Raises `MachineError`."""
    return private_text(file()) or write_private_text(file(), fresh())


def fresh() -> str:
    """A new NAME:PASSWORD."""
    return f"temper:{secrets.token_urlsafe(24)}"


def known(url: str) -> str:
    """NAME:PASSWORD to try on the server at `url`: that of this user's own servers if it is one, else ""."""
    address = urlsplit(url)
    if address.hostname not in LOOPBACK or not own_port(address.port or 80):
        return ""
    try:
        return private_text(file())
    except MachineError:
        if file().parent.exists():
            raise
        return ""  # no home: nothing was stored


def own_port(port: int) -> bool:
    """Whether only this user's processes listen at `port` of this machine; anybody may take a port that is free.

    Linux tells whose a socket is; elsewhere nothing does, and every port counts as own.
    """
    owners: set[int] = set()
    for table in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                owners.add(int(fields[7]))
    return owners <= {os.getuid()}
