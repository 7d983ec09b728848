"""Functions of the user's own as they are called: within a limit of time, and whatever they raise becomes one sentence.

try:
    with users_code(10.0):
        value = function(answer)
except Failure as error:
    raise InputError(f"{key}: {name} {error}; mend it.") from None
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from tasks.bounds.limits import ROOM, Deadline
from tasks.core.errors import TemperError

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object lies in memory: another place in each process."""

SHOWN = 300
"""Characters of an error that are shown."""


class Failure(TemperError):
    """The user's code did not return. Whoever called it says so in a sentence of its own."""


class Raised(Failure):
    """It raised an error, which this shows in a line that is the same in every process."""


class Late(Failure):
    """It took longer than it may, or more memory."""


@contextmanager
def users_code(seconds: float | None = None, memory: int | None = ROOM) -> Iterator[None]:
    """Run what a user wrote for at most `seconds` that pass, with `memory` bytes more than there are; None: no limit.

    Raises `Late`, and `Raised` for whatever it raises, an exit included. Ctrl-C passes: it is not the code's doing.
    """
    try:
        with Deadline(seconds, Late, memory) if seconds is not None else nullcontext():
            yield
    except (Late, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit and asyncio.CancelledError, too, are no `Exception`
        raise Raised(_line(error)) from None


def _line(error: BaseException) -> str:
    try:
        about = str(error)
    except Exception:  # an error of the user's own may fail to say what it is
        about = ""
    return ADDRESS.sub("", " ".join(f"{type(error).__name__}: {about}".split())[:SHOWN]).rstrip(": ")
