"""How a stage tells how far it is: a bar for a person, a line of JSON for the flow that started it."""

import json
import os
import sys
import time
from collections.abc import Callable

PREFIX = "::progress "
"""Start of a line that carries progress as JSON: `{"done", "total", "unit", "figures": {name: number}}`."""

_EVERY = 1.0
"""Seconds between two reports of one piece of work; the last one is always given."""


def reporter(what: str, total: int, unit: str) -> Callable[..., None]:
    """Return `report(done, **figures)`; figures are numbers to show beside it, such as the loss."""
    last = [0.0]
    machine = os.environ.get("TEMPER_PROGRESS") == "json"
    terminal = sys.stderr.isatty()

    def report(done: int, **figures: float) -> None:
        now = time.monotonic()
        if done < total and now - last[0] < (_EVERY if machine or terminal else 10 * _EVERY):
            return
        last[0] = now
        if machine:
            line = {"what": what, "done": done, "total": total, "unit": unit, "figures": figures}
            print(PREFIX + json.dumps(line), flush=True)
            return
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        text = f"{what}: {done}/{total} {unit}  {shown}".rstrip()
        if terminal:
            filled = 24 * done // max(total, 1)
            end = "\n" if done >= total else ""
            print(f"\r\033[K{'━' * filled}{'─' * (24 - filled)} {text}", end=end, file=sys.stderr, flush=True)
        else:
            print(text, flush=True)

    return report
