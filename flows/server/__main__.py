"""`python -m flows.server.__main__ ...`: Prefect's own command, with a guarded server that does not stand still."""

import os
import subprocess
import sys
import threading
import time

from flows.server.connect import allowed_origins, answers
from flows.server.garbage import collect
from flows.server.prefect_private import command_line, guard, write_at_once
from tasks.core.paths import PATHS

LOOK = 0.5
"""Seconds between two looks whether the server answers."""


def when_it_answers() -> None:
    """Say that the server is ready, and have it told which runs of this project died while there was none."""
    url = os.environ["PREFECT_API_URL"]
    while not answers(url):
        time.sleep(LOOK)
    print(f"Ready: {url.removesuffix('/api')}", flush=True)
    if PATHS.state.is_dir():
        subprocess.run([sys.executable, "-P", "-m", "flows.worktree.zombies"], check=False)


if __name__ == "__main__":
    collect()
    threading.Thread(target=when_it_answers, daemon=True).start()
    write_at_once()
    guard(allowed_origins())
    command_line()
