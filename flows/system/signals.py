"""Signals that ask a command to end: the first one ends it in good order, the second one at once."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a terminal that was closed."""

SHOW_CURSOR = b"\x1b[?25h"


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end."""


_received: list[signal.Signals] = []


def received() -> signal.Signals | None:
    """The signal that asked this command to end; None while there was none."""
    return _received[0] if _received else None


@contextmanager
def stopping() -> Iterator[None]:
    """Within the block, raise `Stopped` at the first signal, and exit with its code at the second.

    A signal that this process was started to ignore, as by `nohup`, stays ignored.

    Example:

        with stopping():
            work()
    """
    _received.clear()
    before = {number: signal.getsignal(number) for number in ASKING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    again = bool(_received)
    _received.append(signal.Signals(number))
    if again:
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), SHOW_CURSOR)  # a live bar hides it
        os._exit(128 + number)  # what it started ends with it
    raise Stopped
