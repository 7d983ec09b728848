"""One run per checkout: a lock file that says who holds it."""

import contextvars
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from flows.system.file_lock import file_lock
from tasks.core.errors import Busy, MachineError
from tasks.core.paths import PATHS

LOCK = PATHS.checkout_lock

_holding: contextvars.ContextVar[bool] = contextvars.ContextVar("holding", default=False)


@contextmanager
def checkout_lock(tell: Callable[[str], None] = lambda line: None, *, wait: bool = True) -> Iterator[None]:
    """Hold this checkout; inside a block that holds it already, do nothing.

    Where somebody else holds it: with `wait`, say who through `tell` and wait for them; else raise `Busy`.
    """
    if _holding.get():
        yield
        return
    if not LOCK.parent.parent.is_dir():
        raise MachineError("DVC is not set up here; run: dvc init")
    lock, announced = LOCK.absolute(), False

    def busy() -> None:
        nonlocal announced
        if not wait:
            raise Busy(f"{_holder(lock)} is running in this checkout. Wait for it, or stop it.")
        if not announced:
            tell(f"waiting for {_holder(lock)}, which is using this checkout")
            announced = True

    with file_lock(lock, busy):
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        lock.write_text(json.dumps({"pid": os.getpid(), "since": since, "command": " ".join(sys.argv)}))
        token = _holding.set(True)
        try:
            yield
        finally:
            _holding.reset(token)


def _holder(lock: Path) -> str:
    try:
        holder = json.loads(lock.read_text())
        return f"process {holder['pid']} ({Path(holder['command'].split()[0]).name}, since {holder['since']})"
    except (OSError, ValueError, KeyError, IndexError):
        return "another process"
