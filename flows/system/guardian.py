"""A process that ends what a dead one started: `python guardian.py MARK`, started by the process that it watches.

All that a process starts through `guarded` has its mark in the environment, and so has all that comes from it, in
whatever session and below whatever parent it runs. The guardian reads from a pipe that the kernel closes when the
watched process ends, however it ends; then it kills whoever has the mark. A word through the pipe, at a usual end,
sends it home.
"""

import atexit
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

NAME = "TEMPER_STARTED_BY"

DEAF = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""Signals that do not reach a guardian: whoever ends everything by name or user would end it before its work."""

PAUSE = 0.05
"""Seconds between two looks at all processes."""

CALM = 2
"""Looks in a row at which nobody has the mark: a process may start another one just before it dies."""

PATIENCE = 30.0
"""Seconds after which the guardian gives up on what cannot be killed."""

_marks: dict[int, str] = {}
"""The mark of this process, by its number: a fork gets a guardian of its own."""


def guarded() -> dict[str, str]:
    """What to put into the environment of a child so that it does not outlive this process.

    Example:

        subprocess.Popen(command, env={**os.environ, **guarded()})
    """
    pid = os.getpid()
    if pid not in _marks:
        from tasks.core.identity import current

        _marks[pid] = str(current())
        _start(_marks[pid], pid)
    return {NAME: _marks[pid]}


def _start(mark: str, pid: int) -> None:
    reading, writing = os.pipe()
    environment = {name: value for name, value in os.environ.items() if name != NAME}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF)  # the guardian inherits that, from its first moment on
    try:
        guardian = subprocess.Popen(
            [sys.executable, "-I", __file__, mark],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            start_new_session=True,  # what ends a terminal's processes must not end it
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(reading)

    def dismiss() -> None:
        if os.getpid() == pid:
            with suppress(BrokenPipeError):
                os.write(writing, b".")
            guardian.wait()

    atexit.register(dismiss)


def end_marked(mark: str) -> None:
    """Kill every process that has `mark` in its environment, and what these start meanwhile."""
    import psutil  # not before it is needed: a guardian waits for hours

    end, calm = time.monotonic() + PATIENCE, 0
    while calm < CALM and time.monotonic() < end:
        marked = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(NAME) == mark:
                    process.kill()
                    marked.append(process)
        calm = 0 if marked else calm + 1
        time.sleep(PAUSE)


if __name__ == "__main__":
    if not sys.stdin.buffer.read(1):
        end_marked(sys.argv[1])
