"""How a stage tells how far it is: a bar for a person, a line of JSON for the flow that started it."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, Protocol, TypeVar

from tasks.core.numbers import duration, shown, singular
from tasks.core.protocol import asked, send

_EVERY = 1.0
"""Seconds between two reports of one piece of work; the last one is always given."""


_unfinished = False
"""Whether the terminal's last line is a bar."""

Item = TypeVar("Item", covariant=True)


class SizedIterable(Sized, Iterable[Item], Protocol[Item]):
    """Items whose number is known."""


def end_bar() -> None:
    """Go to a new line where a bar stands unfinished on the terminal, so that what comes next has its own."""
    global _unfinished
    if _unfinished:
        print(file=sys.stderr, flush=True)
    _unfinished = False


def described(progress: Mapping[str, Any], figures: int = 9) -> str:
    """How far a piece of work is, in words: `13,080/48,000 rows, 2 min left  loss 1.498`.

    `progress`: done, total, unit, and, where they are known, left (seconds) and figures, of which so many are named.
    """
    unit = progress["unit"] if progress["total"] != 1 else singular(progress["unit"])
    text = f"{progress['done']:,}/{progress['total']:,} {unit}"
    if progress.get("left") is not None:
        text += f", {duration(progress['left'])} left"
    numbers = list((progress.get("figures") or {}).items())[:figures]
    return "  ".join([text, *(f"{name.replace('_', ' ')} {shown(value)}" for name, value in numbers)])


def reporter(what: str, total: int, unit: str) -> Callable[..., None]:
    """Return `report(done, **figures)`; figures are numbers to show beside it, such as the loss.

    The time left is told from the second report on, by the pace since the first: what goes on from a checkpoint has
    done a part before.
    """
    last = [0.0]
    first: list[tuple[float, int]] = []
    machine = asked("progress")
    terminal = sys.stderr.isatty()

    def report(done: int, **figures: float) -> None:
        global _unfinished
        now = time.monotonic()
        first[:] = first or [(now, done)]
        if done < total and now - last[0] < (_EVERY if machine or terminal else 10 * _EVERY):
            return
        last[0] = now
        (begun, before), left = first[0], None
        if before < done < total:
            left = (now - begun) / (done - before) * (total - done)
        progress = {"what": what, "done": done, "total": total, "unit": unit, "left": left, "figures": figures}
        if machine:
            send("progress", progress)
        elif terminal:
            filled = 24 * done // max(total, 1)
            _unfinished = done < total
            end = "" if _unfinished else "\n"
            text = f"{what}: {described(progress)}"
            print(f"\r\033[K{'━' * filled}{'─' * (24 - filled)} {text}", end=end, file=sys.stderr, flush=True)
        else:
            print(f"{what}: {described(progress)}", flush=True)

    return report


def note(line: str) -> None:
    """Say a sentence that a person who runs the pipeline should read at once, and not only in the log."""
    if asked("note"):
        send("note", {"text": line})
        return
    end_bar()
    print(line, flush=True)


def counting(what: str, items: SizedIterable[Item], unit: str) -> Iterator[Item]:
    """The items of `items`, each reported when the next one is asked for."""
    report = reporter(what, len(items), unit)
    for number, item in enumerate(items, 1):
        yield item
        report(number)
