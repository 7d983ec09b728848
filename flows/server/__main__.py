"""`python -m flows.server.__main__ ...`: Prefect's own command, with a guarded server that does not stand still.

Prefect's server on SQLite stood still for a minute, again and again, once some runs worked at the same time: requests
ended with status 503, "database is locked". The collector, which Python runs wherever something is allocated, met a
cursor that was part of a cycle. `sqlite3_reset`, which ends a cursor, waits for its connection (for a mutex, without
the event loop); the connection waited for another one's write lock; and who held that waited for the event loop. Only
the busy timeout, which Prefect has at 60 s, ended it. In a thread of its own the collector may wait: nobody waits for
it.
"""

import gc
import subprocess
import sys
import threading
import time

from flows.server.connect import allowed_origins
from flows.server.prefect_private import command_line, guard, write_at_once
from tasks.core.paths import PATHS

PAUSE = 1.0
"""Seconds between two looks at the youngest objects."""

OLDER, ALL = 10, 60
"""Every so many looks at the older ones, and at all."""


def collect() -> None:
    """Have a thread collect garbage from now on, and nobody else."""
    gc.disable()
    threading.Thread(target=_collect, name="garbage collector", daemon=True).start()


def _collect() -> None:
    looks = 0
    while True:
        time.sleep(PAUSE)
        looks += 1
        gc.collect(2 if looks % ALL == 0 else 1 if looks % OLDER == 0 else 0)


def reap_runs() -> None:
    """Have the server told, as soon as it answers, which runs of this project died while there was none."""
    if PATHS.state.is_dir():
        command = [sys.executable, "-m", "flows.worktree.zombies"]
        threading.Thread(target=lambda: subprocess.run(command, check=False), daemon=True).start()


if __name__ == "__main__":
    collect()
    reap_runs()
    write_at_once()
    guard(allowed_origins())
    command_line()
