"""How a process ends by an error: in one sentence, for the person at its terminal or the process that started it."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tasks.core.errors import AGAIN, MachineError, StageFailed, TemperError, Unavailable, advice, as_json, is_fault
from tasks.core.output import CLOSED, unread
from tasks.core.progress import end_bar
from tasks.core.protocol import INNER, asked, send, write_error
from tasks.core.unforeseen import sentence


def guarded(
    stage: str, work: Callable[[], None], *, command: str = "", values: Callable[[], Mapping[str, Any]] = dict
) -> int:
    """Do `work` for `stage` and return the exit code of the process: 0, 1, or `AGAIN` where another try may succeed.

    `command` precedes the sentence of an error, such as "quantize nf4"; `values` reads the stage's settings, and is
    called only after an error that nobody foresaw.

        sys.exit(guarded("merge", lambda: run(settings, paths), command="merge"))
    """
    try:
        work()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):  # ends as it would without Python: a shell knows, no traceback
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        if not is_fault(error):
            raise
        if isinstance(error, BrokenPipeError) and unread():
            return CLOSED
        known = explained(error, stage, command, values)
        if command:
            text = str(known).removeprefix(f"{stage}: ")  # of steps that name their stage themselves
            known = type(known)(f"{command}: {text}")
        return report(known)
    return 0


def explained(
    error: BaseException, stage: str, command: str = "", values: Callable[[], Mapping[str, Any]] = dict
) -> TemperError:
    """Return `error` as one that a user is meant to read; for `command` and `values` see `guarded`."""
    if isinstance(error, TemperError):
        return error
    if isinstance(error, ConnectionError | TimeoutError):
        return Unavailable(advice(error))
    if isinstance(error, OSError) and error.errno:  # without a number it is a library's, not the system's
        return MachineError(advice(error))
    return StageFailed(sentence(error, stage, command, values))


def report(error: TemperError, speaker: str = "") -> int:
    """Send `error` to who asked for lines, else print it on standard error, after `speaker`; return the exit code.

    One of several processes leaves it in a file; the one that started them says it.
    """
    write_error(error)
    if any(os.environ.get(name) == value for name, value in INNER.items()):
        return AGAIN if isinstance(error, Unavailable) else 1
    if asked("error"):
        print()  # a library may have left a line unfinished
        send("error", as_json(error))
    else:
        end_bar()
        print(f"{speaker}: {error}" if speaker else str(error), file=sys.stderr, flush=True)
    return AGAIN if isinstance(error, Unavailable) else 1
