"""Run one bad input in a forked child with limits, as the command would, and judge how it ended.

Libraries are imported once, in the parent; each input costs a fork, a copy of a small project, and what it runs.
"""

import contextlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

HANG = 60.0
"""Seconds of computing after which an input counts as one that hangs; other work on the machine does not count."""

HEAVY = (" MB", "bomb", "wide", "range(", "000", "(.*)*", "+)+", "|a)*", "|e)*", "\\s?)*", "grows", " ** ", "turns")
"""In the names of inputs that take seconds."""

WAIT = 5
"""How many times as long is waited for one that does not compute at all."""

MOST_MEMORY = 2 * 2**30
"""Bytes that the child of an input may have in memory."""

ADDRESSES = 12 * 2**30
"""Bytes of address space of a child: a bomb ends there, not in the machine's memory."""


@dataclass(frozen=True)
class Case:
    """One bad input."""

    name: str
    change: Callable[[Path], object]
    """Makes a copy of the project, whose folder it gets, bad."""
    run: Callable[[], int]
    """What the command does, in that folder; returns the exit code."""

    @property
    def heavy(self) -> bool:
        """Whether it is large, or meant to take its time, by its name."""
        return any(word in self.name for word in HEAVY)


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    name: str
    code: int
    seconds: float
    """Of computing."""
    memory: int
    """Largest resident size of the child, in bytes."""
    output: str
    errors: str
    hung: bool = False
    """Whether it had to be ended."""
    left: list[str] = field(default_factory=list)
    """Files that are half-written."""

    def faults(self) -> Iterator[str]:
        """What is wrong with the way it ended, in a word each; none where it is as promised."""
        if "Traceback (most recent call last)" in self.output + self.errors:
            yield "traceback"
        if self.hung:
            yield "hang"
        elif self.code < 0:
            yield "signal"
        if "the whole traceback is in" in self.errors:
            yield "unforeseen"
        if self.memory > MOST_MEMORY:
            yield "memory"
        if self.code > 0 and not (self.errors + self.output).strip():
            yield "silent"
        if self.left:
            yield "half-written"

    @property
    def sentence(self) -> str:
        """The last line that it said."""
        lines = [line for line in (self.errors.strip() or self.output.strip()).split("\n") if line.strip()]
        return lines[-1][:400] if lines else ""


def outcome(case: Case, project: Path, folder: Path, hang: float = HANG) -> Outcome:
    """Copy `project` to `folder`, make it bad, run the command there, and say how it ended."""
    _remove(folder)
    shutil.copytree(project, folder, symlinks=True)
    case.change(folder)
    out, err = folder.with_name("output"), folder.with_name("errors")
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _child(case, folder, out, err, hang)
    start, status, usage, hung = time.monotonic(), 0, None, False
    while usage is None:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            usage = used
        elif time.monotonic() - start > WAIT * hang:
            hung = True
            os.killpg(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
        else:
            time.sleep(0.01)
    seconds = usage.ru_utime + usage.ru_stime
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it has started
    left = [str(path.relative_to(folder)) for path in folder.rglob("*.writing") if ".dvc" not in path.parts]
    code = os.waitstatus_to_exitcode(status)
    hung = hung or code == -signal.SIGXCPU
    return Outcome(
        case.name, code, round(seconds, 1), usage.ru_maxrss * 1024,
        out.read_text(errors="replace"), err.read_text(errors="replace"), hung, left,
    )  # fmt: skip


def _child(case: Case, folder: Path, out: Path, err: Path, hang: float) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        for file, mode, number in ((Path(os.devnull), os.O_RDONLY, 0), (out, writing, 1), (err, writing, 2)):
            os.dup2(os.open(file, mode), number)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (int(hang), int(hang) + 1))
        code = int(case.run() or 0)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 255)


def _remove(folder: Path) -> None:
    if folder.exists():
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(folder)
