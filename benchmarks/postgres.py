"""A PostgreSQL of one's own: on a socket in a folder of its own, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.checkout import Failed


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, which Debian has not on the path; None where there are none."""
    known = [Path(program) for program in [shutil.which("pg_ctl")] if program]
    return next((path.parent for path in (*known, *Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))), None)


class Postgres:
    """A database below `home`, that can be started again."""

    def __init__(self, home: Path, binaries: Path) -> None:
        self.home, self.data = home, home / "data"
        self._programs = binaries
        self.url = f"postgresql+asyncpg://prefect@/postgres?host={home}"
        """For PREFECT_API_DATABASE_CONNECTION_URL."""

    def start(self) -> None:
        """Make the database, and return when it answers."""
        self._run("initdb", "--auth=trust", "--username=prefect", "--pgdata", str(self.data))
        options = f"-c listen_addresses= -c unix_socket_directories={self.home} -c fsync=off"
        self._control("-w", "-l", f"{self.home}/log", "-o", options, "start")

    def restart(self) -> None:
        """End it, with all connections, and start it again."""
        self._control("-w", "-m", "fast", "-l", f"{self.home}/log", "restart")

    def stop(self) -> None:
        """End it."""
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--pgdata", str(self.data), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        command = [*who, str(self._programs / program), *arguments]
        done = subprocess.run(
            command, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(f"{program} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that answers. Raises `Failed` where none is installed."""
    if (binaries := programs()) is None:
        raise Failed("no PostgreSQL here (Debian: apt-get install postgresql)")
    home = Path(tempfile.mkdtemp(prefix="temper-pg-"))  # a socket's path may be 107 characters long
    try:
        if os.getuid() == 0:
            shutil.chown(home, "postgres")  # which does not work as root
        base = Postgres(home, binaries)
        base.start()
        try:
            yield base
        finally:
            base.stop()
    finally:
        shutil.rmtree(home)
