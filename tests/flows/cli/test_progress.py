"""Without a terminal a running stage has a line for each tenth of its work, and one a minute where that is slow."""

import io
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from flows.cli.progress import Terminal
from flows.system import signals
from tasks.core.output import CLOSED


def spoken(seconds_a_step: float, steps: int) -> list[str]:
    """What is written of a training of that many steps, a report each."""
    now = 0.0
    console = Console(file=io.StringIO(), width=100)
    with Terminal(console, lambda: now) as terminal:
        terminal.started("train")
        for step in range(1, steps + 1):
            now = seconds_a_step * step
            left = seconds_a_step * (steps - step) if step > 1 else None
            figures = {"loss": 4.0 - step / steps, "grad_norm": 1.0}
            progress = {"what": "train", "done": step, "total": steps, "unit": "steps", "left": left}
            terminal.progressed("train", {**progress, "figures": figures})
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_long_training_says_each_minute_where_it_is() -> None:
    lines = spoken(seconds_a_step=7.0, steps=1000)  # 1 h 57 min: a tenth is 700 s
    assert lines[0] == "train     runs"
    assert lines[1] == "train     9/1,000 steps, 1 h 56 min left  loss 3.991  grad norm 1"  # at 63 s
    assert lines[2].startswith("train     18/1,000 steps")
    assert 110 <= len(lines) <= 7000 / 60 + 11  # one a minute, and one more for a tenth that lies within


def test_a_short_one_says_each_tenth_alone() -> None:
    lines = spoken(seconds_a_step=0.5, steps=100)
    assert [line.split()[1] for line in lines[1:]] == [f"{tenth}0/100" for tenth in range(1, 11)]


def test_what_begins_late_has_its_minute_too() -> None:
    """The clock tells seconds since another moment."""
    console = Console(file=io.StringIO(), width=100)
    with Terminal(console, lambda: 1e6) as terminal:
        terminal.started("train")
        terminal.progressed("train", {"what": "train", "done": 1, "total": 100, "unit": "steps", "figures": {}})
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == ["train     runs"]


def test_output_that_nobody_reads_ends_the_run_as_a_closed_terminal_does() -> None:
    """In whatever thread the line is written."""
    lines = "t = threading.Thread(target=Output().print, args=('line',)); t.start(); t.join(); time.sleep(60)"
    program = f"""
import signal, sys, threading, time
from flows.cli import main, project
from flows.cli.progress import Output
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, under which the tests may run, lets a command go on unread
def act(options):
    {lines}
project._diff = act
sys.exit(main.main(["config", "diff"]))
"""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=50
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (CLOSED, "")


def test_each_part_of_a_stage_is_named() -> None:
    console = Console(file=io.StringIO(), width=100)
    with Terminal(console) as terminal:
        terminal.started("merge")
        for what in ("merge: logits of the base", "merge: logits of the tuned model", "merge"):
            terminal.progressed("merge", {"what": what, "done": 1, "total": 2, "unit": "rows", "figures": {}})
    assert isinstance(console.file, io.StringIO)
    assert [" ".join(line.split()) for line in console.file.getvalue().splitlines()] == [
        "merge runs",
        "merge logits of the base: 1/2 rows",
        "merge logits of the tuned model: 1/2 rows",
        "merge 1/2 rows",
    ]


@pytest.mark.parametrize(("number", "end"), [(None, "failed"), (signal.SIGINT, "stopped")])
def test_a_stage_that_a_signal_ended_did_not_fail(
    number: signal.Signals | None, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_received", [number] if number else [])
    console = Console(file=io.StringIO(), width=100)
    with Terminal(console) as terminal:
        terminal.failed("train", "train was stopped before it finished.")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().split() == ["train", end]
