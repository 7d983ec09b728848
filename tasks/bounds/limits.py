"""Bounds on work whose size a stranger's file decides: a template, a pattern, a document that unpacks.

    with Bounds(10.0, lambda why: InputError(f"{path}: {why}; take the file out.")):
        convert(path)

Time is what the process computes, not what passes, so that a busy machine refuses nothing that a quiet one takes.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

from tasks.core.errors import TemperError

ROOM = 2**30
"""Bytes that bounded work may take besides what the process has."""


class _Alarm(BaseException):
    """No `except Exception` of a library stops it on its way to the bounds that have set it."""


class Bounds:
    """A limit of computing time and memory for the work within; beyond it `refuse(why)` is raised.

    Time is limited in the main thread only, and between two steps of Python or of `re`; memory on Linux only. Bounds
    within bounds count together with them.
    """

    def __init__(self, seconds: float, refuse: Callable[[str], TemperError], memory: int = ROOM) -> None:
        """`seconds` of computing, `memory` in bytes besides what the process has."""
        self._seconds, self._refuse, self._memory = seconds, refuse, memory
        self._timed = False
        self._before: tuple[float, float] = (0.0, 0.0)
        self._handler: object = None
        self._space: tuple[int, int] | None = None

    def __enter__(self) -> None:
        self._space = _take_space(self._memory)
        self._timed = threading.current_thread() is threading.main_thread()
        if self._timed:
            self._handler = signal.signal(signal.SIGVTALRM, _ring)
            self._before = signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timed:
            left, _ = signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
            signal.signal(signal.SIGVTALRM, self._handler)  # type: ignore[arg-type]  # what `signal` itself returned
            if self._before[0]:
                signal.setitimer(signal.ITIMER_VIRTUAL, max(1e-3, self._before[0] - (self._seconds - left)))
        if self._space:
            _give_space(self._space)
        if isinstance(error, _Alarm):
            raise self._refuse(f"it takes more than {self._seconds:g} seconds of computing") from None
        if isinstance(error, MemoryError):
            raise self._refuse(f"it takes more than {self._memory / 2**30:g} GiB of memory") from None


def _ring(number: int, frame: FrameType | None) -> None:
    raise _Alarm


def _take_space(size: int) -> tuple[int, int] | None:
    """Let the process have `size` bytes of addresses besides those it has; returns its limits as they were."""
    if sys.platform != "linux":
        return None
    import resource

    handle = os.open("/proc/self/statm", os.O_RDONLY)
    pages = int(os.read(handle, 64).split(b" ", 1)[0])
    os.close(handle)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * _PAGE + size
    soft, hard = limits
    if soft != resource.RLIM_INFINITY and soft <= most:
        return None
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    return limits


def _give_space(limits: tuple[int, int]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, limits)


_PAGE = os.sysconf("SC_PAGE_SIZE")
