"""`python -m flows.server.__main__ ...`: Prefect's own command, with a guarded server that does not stand still."""

import subprocess
import sys
import threading

from flows.server.connect import allowed_origins
from flows.server.garbage import collect
from flows.server.prefect_private import command_line, guard, write_at_once
from tasks.core.paths import PATHS


def reap_runs() -> None:
    """Have the server told, as soon as it answers, which runs of this project died while there was none."""
    if PATHS.state.is_dir():
        command = [sys.executable, "-P", "-m", "flows.worktree.zombies"]
        threading.Thread(target=lambda: subprocess.run(command, check=False), daemon=True).start()


if __name__ == "__main__":
    collect()
    reap_runs()
    write_at_once()
    guard(allowed_origins())
    command_line()
