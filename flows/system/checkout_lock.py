"""One run per checkout: a kernel lock that says who holds it, and that the kernel lets go if the holder dies."""

import contextvars
import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tasks.core.errors import Busy, MachineError

LOCK = Path(".dvc/tmp/temper.lock")

_holding: contextvars.ContextVar[bool] = contextvars.ContextVar("holding", default=False)


@contextmanager
def alone(tell: Callable[[str], None] = lambda line: None, *, wait: bool = True) -> Iterator[None]:
    """Hold this checkout; inside a block that holds it already, do nothing.

    Where somebody else holds it: with `wait`, say who through `tell` and wait for them; else raise `Busy`.
    """
    if _holding.get():
        yield
        return
    if not LOCK.parent.parent.is_dir():
        raise MachineError("DVC is not set up here; run: dvc init")
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise Busy(f"{_holder(lock.name)} works in this checkout. Wait for it, or stop it.") from None
            tell(f"waiting for {_holder(lock.name)}, which works in this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        json.dump({"pid": os.getpid(), "since": since, "command": " ".join(sys.argv)}, lock)
        lock.flush()
        token = _holding.set(True)
        try:
            yield
        finally:
            _holding.reset(token)
            lock.truncate(0)


def _holder(path: str) -> str:
    try:
        who = json.loads(Path(path).read_text())
        return f"process {who['pid']} ({Path(who['command'].split()[0]).name}, since {who['since']})"
    except (ValueError, KeyError, IndexError):
        return "another process"
