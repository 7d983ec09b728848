"""A thread for the collector of garbage, so that Prefect's server does not stand still.

Prefect's server on SQLite stood still for a minute, again and again, once some runs worked at the same time: requests
ended with status 503, "database is locked". The collector, which Python runs wherever something is allocated, met a
cursor that was part of a cycle. `sqlite3_reset`, which ends a cursor, waits for its connection (for a mutex, without
the event loop); the connection waited for another one's write lock; and who held that waited for the event loop. Only
the busy timeout, which Prefect has at 60 s, ended it. In a thread of its own the collector may wait: nobody waits for
it.
"""

import gc
import threading
import time

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
        if looks == ALL:
            gc.freeze()  # what a server consists of stays: to look at it each minute took a second
