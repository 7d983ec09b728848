"""Bounds on work whose size a stranger's file decides: a template, a pattern, a document that unpacks.

    with Bounds(10.0, lambda why: InputError(f"{path}: {why}; remove the file.")):
        convert(path)

Time is what the process computes, the system's work for it (memory for a text that grows) included, and not what
passes, so that a busy machine refuses nothing that a quiet one takes. `Deadline` is for work that may wait for others.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from tasks.core.errors import TemperError

ROOM = 2**30
"""Bytes that bounded work may take besides what the process has."""

AGAIN = 1.0
"""Seconds after which work that has caught its interruption is interrupted again, as often as it takes."""

_rung: set[int] = set()
"""Signals that have interrupted the work within the bounds that were entered last."""


class _Alarm(BaseException):
    """No `except Exception` of a library stops it on its way to the bounds that have set it; carries their signal."""


class Bounds:
    """A limit of computing time and memory for the work within; beyond it `refuse(why)` is raised.

    Time is limited in the main thread only, and between two steps of Python or of `re`; memory on Linux only. Bounds
    within bounds count together with them. Work that catches its own interruption is interrupted again, and refused
    even if it returns, so that nothing depends on when it was interrupted. Entering and leaving takes microseconds.
    """

    __slots__ = ("_before", "_memory", "_outer", "_refuse", "_rung", "_seconds", "_space", "_start", "_timed")

    timer, number = signal.ITIMER_PROF, signal.SIGPROF
    clock = staticmethod(time.process_time)
    unit = "seconds of CPU time"

    def __init__(self, seconds: float, refuse: Callable[[str], TemperError], memory: int | None = ROOM) -> None:
        """`seconds` of computing, `memory` in bytes besides what the process has; None: any."""
        self._seconds, self._refuse, self._memory = seconds, refuse, memory

    def __enter__(self) -> None:
        self._space = None if self._memory is None else space(self._memory)
        self._timed = threading.get_ident() == threading.main_thread().ident
        if self._timed:
            self._before = signal.signal(self.number, _ring)
            self._start = self.clock()
            self._rung = self.number in _rung
            _rung.discard(self.number)
            self._outer, _ = signal.setitimer(self.timer, self._seconds, AGAIN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._space:
            resource.setrlimit(resource.RLIMIT_AS, self._space)
        if self._timed:
            remaining, _ = signal.setitimer(self.timer, 0.0)
            signal.signal(self.number, self._before)
            late = self.number in _rung or not remaining
            (_rung.add if self._rung else _rung.discard)(self.number)
            if self._outer:  # by the clock of the process: the timer's own counts in steps of some milliseconds
                left = self._outer - (self.clock() - self._start)
                if left <= 0 and error is None and self._before is _ring:
                    raise _Alarm(self.number)
                signal.setitimer(self.timer, max(1e-3, left), AGAIN if self._before is _ring else 0.0)
        caught = self._timed and late and not isinstance(error, _Alarm | KeyboardInterrupt)
        if caught or (isinstance(error, _Alarm) and error.args == (self.number,)):
            raise self._refuse(f"it takes more than {self._seconds:g} {self.unit}") from None
        if isinstance(error, MemoryError) and self._memory is not None:
            raise self._refuse(f"it takes more than {self._memory / 2**30:g} GiB of memory") from None


class Deadline(Bounds):
    """As `Bounds`, by the time that passes: for work that waits for a network, another program or a lock."""

    __slots__ = ()

    timer, number = signal.ITIMER_REAL, signal.SIGALRM
    clock = staticmethod(time.monotonic)
    unit = "seconds"


_statm: list[int] = []
"""The open file in which the kernel says how large this process is."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def _ring(number: int, frame: FrameType | None) -> None:
    _rung.add(number)
    raise _Alarm(number)


def space(size: int) -> tuple[int, int] | None:
    """Let the process have `size` bytes of addresses besides those it has.

    Returns its limits as they were; None where they are as narrow already, or the system knows none.
    """
    if sys.platform != "linux":
        return None
    if not _statm:
        _statm.append(os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC))
    most = int(os.pread(_statm[0], 64, 0).split(b" ", 1)[0]) * _PAGE + size
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if limits[0] != resource.RLIM_INFINITY and limits[0] <= most:
        return None
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    return limits


def narrowed(limit: int, most: int) -> int:
    """`most`, or less where the machine sets a narrower `limit` (of `resource`): nobody may raise that again."""
    hard = resource.getrlimit(limit)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


os.register_at_fork(after_in_child=_statm.clear)  # it would be the parent's size
