"""What all processes of one test run share: made by the first that needs it, gone when the last has ended.

The process that pytest was called in opens and closes the folder; workers of xdist inherit its name.
"""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

NAME = "TEMPER_TESTS_SHARED"
"""The variable with the name of the folder."""


MEMORY = Path("/dev/shm")
"""Files that lie in memory."""

ROOM = 8 * 2**30
"""Bytes that have to be free there, and in memory as a whole."""


def begin(*, all_tests: bool) -> None:
    """Make the folder. In a run of many tests all temporary files lie in it, and it lies in memory where there is room.

    Stages, DVC and SQLite have the disk confirm what they write, thousands of times, and each takes milliseconds.
    """
    in_memory = all_tests and _room()
    os.environ[NAME] = tempfile.mkdtemp(prefix="temper-tests-", dir=MEMORY if in_memory else None)
    os.environ["XDG_STATE_HOME"] = f"{os.environ[NAME]}/state"  # the password of servers, which their clients look up
    if in_memory:
        tempfile.tempdir = os.environ["TMPDIR"] = f"{os.environ[NAME]}/tmp"
        Path(tempfile.tempdir).mkdir()


def _room() -> bool:
    with suppress(OSError):
        return min(shutil.disk_usage(MEMORY).free, int(psutil.virtual_memory().available)) > ROOM
    return False


def close() -> None:
    """End the server, and remove the folder."""
    folder = Path(os.environ.pop(NAME))
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((folder / "server" / "pid").read_text()), signal.SIGTERM)
    if Path(os.environ.get("TMPDIR", "")).parent == folder:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
    shutil.rmtree(folder, ignore_errors=True)


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, which `make` has filled; whoever comes while it is made waits."""
    place = Path(os.environ[NAME]) / name
    whole = place.with_suffix(".made")
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            make(place)
            whole.touch()
    return place


def server() -> str:
    """The address of a Prefect server, started as `temper ui` does."""
    from benchmarks.server import Server  # loads Prefect, which not every test run needs

    def make(place: Path) -> None:
        started = Server(place)
        try:
            started.start()
        except BaseException:
            started.kill()
            raise
        (place / "pid").write_text(str(started.pid))
        (place / "url").write_text(started.url)
        started.release()

    return (once("server", make) / "url").read_text()


def server_process() -> int:
    """The number of that server's process."""
    server()
    return int((Path(os.environ[NAME]) / "server" / "pid").read_text())
