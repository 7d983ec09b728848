"""A lock file that one process holds: the kernel lets go when the process dies, and the file does not stay behind."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

POLL = 0.2
"""Seconds between two tries of who waits; a thread that the kernel put to sleep could not be told to stop."""


@contextmanager
def file_lock(path: Path, wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Yield whether this block, and no other, holds `path`.

    With `wait`, which is called before each new try and may raise, the block waits until it does, and is told in the
    same way: True where it held the file at once, False where somebody else held it before.
    """
    # the kernel's lock or none: a soft lock outlives its holder. Whichever thread ends the block lets go.
    lock = FileLock(path, fallback_to_soft=False, thread_local=False, poll_interval=POLL)
    at_once = True

    def give_up() -> bool:
        nonlocal at_once
        at_once = False
        if not path.exists():  # its last holder removed the file while we opened it
            return False
        if wait is None:
            return True
        wait()
        return False

    with suppress(Timeout):
        # as good as without end; of a wait that has none, filelock thinks that `give_up` could not end it
        lock.acquire(timeout=threading.TIMEOUT_MAX, cancel_check=give_up)
    if not lock.is_locked:
        yield False
        return
    try:
        yield at_once or wait is None
    finally:
        path.unlink(missing_ok=True)  # while it is held, so that it is nobody else's file
        lock.release()


def patience(seconds: float, error: BaseException) -> Callable[[], None]:
    """For `file_lock`: who waits gives up after so many seconds, with `error`."""
    end = time.monotonic() + seconds

    def wait() -> None:
        if time.monotonic() > end:
            raise error

    return wait
