"""What a person sees in the terminal: a line for each stage that is done, bars for those that run, then the scores."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flows.bridge import NEVER, Outcome, StageStatus
from flows.run.observer import Observer
from flows.system.signals import received
from tasks.core.output import unread
from tasks.core.progress import described

EVERY = 60.0
"""Seconds after which a running stage has another line where there is no terminal."""

GAP = 2
"""Spaces between the columns of a table."""


class Output(Console):
    """Standard output. Where nobody reads it any more, the run ends in good order, as it does with its terminal."""

    def on_broken_pipe(self) -> None:
        """Called by the thread that wrote, whose own end would leave a stage's lines unread."""
        self.quiet = True
        unread()
        os.kill(os.getpid(), signal.SIGHUP)


class Terminal(Observer):
    """A context. On a terminal, running stages have a live bar; elsewhere a line for each tenth of it, and each minute.

    `clock` tells seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.perf_counter) -> None:
        self.console = console
        self._clock = clock
        self._bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[tuple[str, str], int] = {}
        self._spoken: dict[str, float] = {}
        """When each stage had its last line."""
        self._guard = threading.Lock()
        self._width = 8
        self._started = time.perf_counter()
        self._kept = 0

    def planned(self, statuses: list[StageStatus]) -> None:
        self._width = max((len(status.name) for status in statuses), default=8)

    def message(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)  # in full: it names paths

    def started(self, stage: str) -> None:
        with self._guard:
            self._tasks[stage] = self._bars.add_task(stage.ljust(self._width), total=None, text="")
        if not self.console.is_terminal:
            self._spoken[stage] = self._clock()
            self._line(f"{stage.ljust(self._width)}  runs")

    def progressed(self, stage: str, progress: dict[str, Any]) -> None:
        doing = _part(stage, progress["what"])
        text = f"{doing}: {described(progress, figures=2)}" if doing else described(progress, figures=2)
        self._bars.update(self._tasks[stage], completed=progress["done"], total=progress["total"], text=text)
        tenth = 10 * progress["done"] // max(progress["total"], 1)
        work = stage, progress["what"]
        now, spoken = self._clock(), self._spoken.get(stage, 0.0)
        if not self.console.is_terminal and (tenth > self._tenths.get(work, 0) or now - spoken >= EVERY):
            self._tenths[work], self._spoken[stage] = tenth, now
            self._line(f"{stage.ljust(self._width)}  {text.rstrip()}")

    def finished(self, outcome: Outcome) -> None:
        self._remove(outcome.stage)
        self._kept += outcome.how == "unchanged"
        reasons = [reason for reason in outcome.reasons if reason != NEVER]  # now it has
        why = f"  {reasons[0]}" if reasons and outcome.how == "ran" else ""
        seconds = f"{outcome.seconds:6.1f} s" if outcome.how != "unchanged" else " " * 8
        self._line(f"{outcome.stage.ljust(self._width)}  {outcome.how:9}  {seconds}{why}")

    def failed(self, stage: str, reason: str) -> None:
        self._remove(stage)
        self._line(f"{stage.ljust(self._width)}  {'stopped' if received() else 'failed'}")

    def __enter__(self) -> "Terminal":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def _remove(self, stage: str) -> None:
        with self._guard:
            if stage in self._tasks:
                self._bars.remove_task(self._tasks.pop(stage))

    def _line(self, line: str) -> None:
        self.console.print(Text(line, no_wrap=True, overflow="ellipsis"))


def _part(stage: str, what: str) -> str:
    """Which part of a stage's work `what` is, "" where it is the whole.

    >>> _part("merge", "merge: logits of the base"), _part("template", "template train"), _part("train", "train")
    ('logits of the base', 'train', '')
    """
    name, _, part = what.partition(": ")
    return part or (name.removeprefix(f"{stage} ") if name.startswith(f"{stage} ") else "")


def tables(rows: list[dict[str, Any]], width: int) -> list[Table]:
    """Rows with equal keys as tables of at most `width` columns of text: what does not fit stands in a further one,
    beside the first key."""
    names = list(rows[0]) if rows else []
    wide = {name: max(len(name), *(len(str(row.get(name, ""))) for row in rows)) for name in names}
    blocks: list[list[str]] = [names[:1]]
    for name in names[1:]:
        if sum(wide[one] + GAP for one in blocks[-1]) + wide[name] > width and len(blocks[-1]) > 1:
            blocks.append(names[:1])
        blocks[-1].append(name)
    return [table([{name: row.get(name, "") for name in block} for row in rows]) for block in blocks]


def table(rows: list[dict[str, Any]]) -> Table:
    """Rows with equal keys as a table; numbers to the right."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(rows[0] if rows else []):
        shown.add_column(name, justify="right" if index else "left")
    for row in rows:
        shown.add_row(*(str(row.get(name, "")) for name in rows[0]))
    return shown
