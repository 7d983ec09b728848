"""Work on a stranger's file in a child process, for libraries in C that loop, take all memory, or die of it.

texts = in_child(lambda: convert(path), 30.0, lambda why: InputError(f"{path}: {why}; remove the file."))
"""

import faulthandler
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

from tasks.bounds.limits import ROOM, narrowed, space
from tasks.core.errors import TemperError

Result = TypeVar("Result")

FEW = 5000
"""Levels of calls that the child may have: a converter of nested pages calls itself for each level."""


def in_child(
    work: Callable[[], Result], seconds: float, refuse: Callable[[str], TemperError], memory: int = ROOM
) -> Result:
    """Return what `work` returns, done in a fork of this process; `refuse(why)` is raised where that does not end well.

    `seconds` of computing, `memory` in bytes besides what the process has. An error that `work` raises comes back, a
    `TemperError` as it is and any other as `why`.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(work, seconds, memory, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGXCPU:
        raise refuse(f"it takes more than {seconds:g} seconds of CPU time")
    if code == -signal.SIGKILL:
        raise refuse("the system killed the process that read it, most likely because memory ran out")
    if code:
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise refuse(f"the library that reads it crashes ({name})")
    result, error = pickle.loads(answer)
    if isinstance(error, TemperError):
        raise error
    if isinstance(error, str):
        raise refuse(error)
    value: Result = result
    return value


def _work(work: Callable[[], Result], seconds: float, memory: int, writing: int) -> None:
    """Do it, write the result or the error, and end: nothing of the parent is to be done a second time."""
    result: Result | None = None
    error: TemperError | str | None = None
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)  # what a library says while it dies
        faulthandler.disable()  # it has a standard error of its own
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(seconds) + 1
        last = narrowed(resource.RLIMIT_CPU, used + 5)
        resource.setrlimit(resource.RLIMIT_CPU, (min(used, last), last))
        space(memory)
        sys.setrecursionlimit(FEW)
        result = work()
    except TemperError as fault:
        error = fault
    except MemoryError:
        error = f"it takes more than {memory / 2**30:g} GiB of memory"
    except RecursionError:
        error = "it is nested too deep"
    except BaseException as fault:
        error = f"{type(fault).__name__}: {' '.join(str(fault).split())[:200]}"
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps((result, error)))
        os._exit(0)
    except BaseException:
        os._exit(1)
