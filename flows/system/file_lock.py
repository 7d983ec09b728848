"""A lock file that one process holds: the kernel lets go when the process dies, and the file does not stay behind."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL = 0.2
"""Seconds between two tries of who waits; a thread that the kernel put to sleep could not be told to stop."""


@contextmanager
def claim(path: Path, wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Yield whether this block, and no other, holds `path`.

    With `wait`, which is called before each new try and may raise, the block waits until it does, and is told in the
    same way: True where it held the file at once, False where somebody else held it before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    first = True
    while True:
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = _same(path, lock.fileno())  # else its last holder removed the file while we opened it
            except BlockingIOError:
                held = False
                if wait is None:
                    yield False
                    return
            if held:
                try:
                    yield first
                finally:
                    path.unlink(missing_ok=True)
                return
        if wait is not None:
            first = False
            wait()
            time.sleep(POLL)


def patience(seconds: float, error: BaseException) -> Callable[[], None]:
    """For `claim`: who waits gives up after so many seconds, with `error`."""
    end = time.monotonic() + seconds

    def wait() -> None:
        if time.monotonic() > end:
            raise error

    return wait


def _same(path: Path, handle: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False
