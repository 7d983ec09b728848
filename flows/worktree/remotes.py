"""What workers on other machines, and people, get of a run: its outputs by DVC's remote, its experiment by git's."""

import subprocess
import sys
import time
from collections.abc import Callable

from flows.run.policies import Share
from tasks.core.errors import Unavailable


def fetch(share: Share, tell: Callable[[str], None]) -> None:
    """Bring what others made of this revision into the cache. A remote that is away costs time, not the run."""
    if error := _dvc("fetch", "--run-cache", *_remote(share)):
        tell(f"the remote did not answer; stages that others have run may run again: {error}")


def push(name: str, share: Share, tell: Callable[[str], None]) -> None:
    """Push the outputs of this checkout, then the experiment `name`: who sees it can have all of it.

    Raises `Unavailable` where a remote is away for longer than the tries take.
    """
    commands = (["push", "--run-cache", *_remote(share)], ["exp", "push", "--force", "--no-cache", share.git, name])
    for number in range(share.retries + 1):
        error = next((line for command in commands if (line := _dvc(*command))), "")
        if not error:
            return
        if number < share.retries:
            delay = share.delay * 2**number
            tell(f"sharing {name}: try {number + 2} of {share.retries + 1} in {delay:g} s: {error}")
            time.sleep(delay)
    more = f" --remote {share.dvc}" if share.dvc else ""
    raise Unavailable(
        f"the experiment {name} is kept on this machine, but could not be shared: {error} "
        f"When the remote answers: dvc exp push --run-cache{more} {share.git} {name}"
    )


def _remote(share: Share) -> list[str]:
    return ["--remote", share.dvc] if share.dvc else []


def _dvc(*arguments: str) -> str:
    """Run dvc; return "" or, where it fails, the line in which it says why."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if not done.returncode:
        return ""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]
