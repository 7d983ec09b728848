"""How the server is kept from standing still on SQLite: `flows/server/garbage.py` says why it would."""

import subprocess
import sys
from pathlib import Path

COLLECTING = """
import threading
from flows.server import garbage as serving

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        where.append(threading.current_thread().name)
        gone.set()

where, gone = [], threading.Event()
serving.PAUSE = 0.01
serving.collect()
for _ in range(20_000):  # of which the main thread would collect at each 700th
    Cycle()
assert gone.wait(60)
print(set(where))
"""


def test_garbage_is_collected_in_a_thread_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECTING], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{'garbage collector'}\n", "")


WRITING = """
import asyncio, sqlite3, sys
import sqlalchemy as sa
from flows.server.prefect_private import write_at_once

async def locked(path):
    from prefect.server.database.configurations import AioSqliteConfiguration
    base = AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{path}")
    engine = await base.engine()
    session = await base.session(engine)
    async with session, base.begin_transaction(session):
        await session.execute(sa.text("SELECT 1"))
        other = sqlite3.connect(path, timeout=0)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            state = str(error)
        else:
            state = "free"
        other.close()
    await engine.dispose()
    return state

print(asyncio.run(locked(sys.argv[1])))
write_at_once()
print(asyncio.run(locked(sys.argv[1])))
"""


def test_a_transaction_that_reads_first_has_the_write_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITING, str(tmp_path / "prefect.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n") == ["free", "database is locked", ""], done.stderr
