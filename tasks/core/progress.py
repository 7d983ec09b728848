"""How a stage tells how far it is: a bar for a person, a line of JSON for the flow that started it."""

import sys
import time
from collections.abc import Callable

from tasks.core.protocol import asked, send

_EVERY = 1.0
"""Seconds between two reports of one piece of work; the last one is always given."""


_unfinished = False
"""Whether the terminal's last line is a bar."""


def end_bar() -> None:
    """Go to a new line where a bar stands unfinished on the terminal, so that what comes next has its own."""
    global _unfinished
    if _unfinished:
        print(file=sys.stderr, flush=True)
    _unfinished = False


def reporter(what: str, total: int, unit: str) -> Callable[..., None]:
    """Return `report(done, **figures)`; figures are numbers to show beside it, such as the loss."""
    last = [0.0]
    machine = asked("progress")
    terminal = sys.stderr.isatty()

    def report(done: int, **figures: float) -> None:
        global _unfinished
        now = time.monotonic()
        if done < total and now - last[0] < (_EVERY if machine or terminal else 10 * _EVERY):
            return
        last[0] = now
        if machine:
            send("progress", {"what": what, "done": done, "total": total, "unit": unit, "figures": figures})
            return
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        text = f"{what}: {done}/{total} {unit}  {shown}".rstrip()
        if terminal:
            filled = 24 * done // max(total, 1)
            _unfinished = done < total
            end = "" if _unfinished else "\n"
            print(f"\r\033[K{'━' * filled}{'─' * (24 - filled)} {text}", end=end, file=sys.stderr, flush=True)
        else:
            print(text, flush=True)

    return report
