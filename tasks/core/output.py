"""Standard output whose reader has gone, as in `temper plan | head`: the command ends without a word, as others do."""

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

CLOSED = 128 + signal.SIGPIPE
"""Exit code of a command whose output nobody reads any more: what a shell has for one that SIGPIPE ended."""

_closed = False


def unread() -> bool:
    """Whether the reader of standard output has gone; what is left in its buffer is then dropped."""
    global _closed
    if not _closed and sys.stdout:  # none, where it was closed before the start
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        if _closed := _hung_up():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
    return _closed


def _hung_up() -> bool:
    """Whether the system says so; the failed write may have been of data that no buffer holds any more."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # no file, or a closed one
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are always told
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def piped(work: Callable[[], int]) -> int:
    """The exit code that `work` returns; `CLOSED` where nobody reads its output to the end.

    sys.exit(piped(lambda: main(sys.argv[1:])))
    """
    try:
        code = work()
    except BrokenPipeError:
        if not unread():  # another pipe
            raise
    except SystemExit as error:  # of argparse after --help, and of rich where it cannot write
        if not (unread() or isinstance(error.__context__, BrokenPipeError)):
            raise
    else:
        return CLOSED if unread() else code
    return CLOSED
