"""`python -m flows.server.__main__ ...`: Prefect's own command, with a server that does not stand still on SQLite.

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
from typing import Any

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


if __name__ == "__main__":
    collect()
    write_at_once()
    from prefect.cli import app

    app()
