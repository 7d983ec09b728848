"""A stage's command as a child process, as `dvc repro` would start it; its lines, its progress, its end."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from tasks.__main__ import FIXED
from tasks.core.errors import AGAIN, StageFailed, Unavailable
from tasks.core.progress import PREFIX

GRACE = 5.0
"""Seconds between asking children to end and ending them."""

LINGER = 2.0
"""Seconds to wait for the last lines of a process that has ended."""

TAIL = 30
"""Lines kept of each stream for the message of a failure."""


def answer(module: str) -> "subprocess.CompletedProcess[str]":
    """What a module of `tasks` prints in an environment as stages have it, run to its end."""
    command = [sys.executable, "-P", "-W", "ignore", "-m", module]
    return subprocess.run(command, env={**os.environ, **FIXED}, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Command:
    """What to start for a stage, where, and with which environment."""

    stage: str
    text: str
    folder: Path
    environment: dict[str, str]


class Children:
    """The stage processes of one run. They share its process group, so Ctrl-C reaches them, and end with it."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._guard = threading.Lock()
        self._stopped = threading.Event()

    def run(
        self,
        command: Command,
        log: Callable[[str], None],
        progress: Callable[[dict[str, Any]], None],
        timeout: float | None = None,
    ) -> float:
        """Run `command` to its end; return the seconds it took, at most `timeout`.

        Raises `StageFailed` with what it said last, `Unavailable` where another try may succeed.
        """
        start = time.perf_counter()
        errors: deque[str] = deque(maxlen=TAIL)
        lines: deque[str] = deque(maxlen=TAIL)
        with self._started(command) as process:
            streams = ((process.stdout, lines), (process.stderr, errors))
            listeners = [
                threading.Thread(
                    target=copy_context().run,  # Prefect finds the task run, to log to, in the context
                    args=(_listen, stream, tail, log, progress),
                    daemon=True,
                )
                for stream, tail in streams
            ]
            for listener in listeners:
                listener.start()
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                _end([process])
                raise StageFailed(
                    f"{command.stage} was ended after {timeout:g} s, its timeout in infra/stages.yaml."
                ) from None
            for listener in listeners:
                listener.join(LINGER)  # a process that the stage left behind may hold the pipe open
        if self._stopped.is_set():
            raise StageFailed(f"{command.stage} was stopped before it ended.")
        if code:
            kind = Unavailable if code == AGAIN else StageFailed
            raise kind(_sentence(command, code, list(errors) or list(lines)))
        return time.perf_counter() - start

    def check(self, stage: str) -> None:
        """Raise `StageFailed` where the run was stopped, so that `stage` need not wait any longer."""
        if self._stopped.is_set():
            raise StageFailed(f"{stage} was not started: the run was stopped.")

    def pause(self, stage: str, seconds: float) -> None:
        """Wait, and raise `StageFailed` as soon as the run is stopped."""
        self._stopped.wait(seconds)
        self.check(stage)

    def stop(self) -> None:
        """End all children, first asking (SIGTERM), after `GRACE` seconds for good; start no more."""
        with self._guard:
            self._stopped.set()
            running = list(self._running)
        _end(running)

    @contextmanager
    def _started(self, command: Command) -> Iterator["subprocess.Popen[str]"]:
        with self._guard:
            self.check(command.stage)
            process = subprocess.Popen(
                ["/bin/sh", "-c", _replacing(command.text)],
                cwd=command.folder,
                env={**command.environment, "TEMPER_PROGRESS": "json", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            self._running.add(process)
        try:
            yield process
        finally:
            with self._guard:
                self._running.discard(process)


def _end(processes: list["subprocess.Popen[str]"]) -> None:
    """End processes and all that they started, first asking, after `GRACE` seconds for good."""
    family: set[psutil.Process] = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            stage = psutil.Process(process.pid)
            family |= {stage, *stage.children(recursive=True)}
            stage.terminate()
    for left in psutil.wait_procs(family, GRACE)[1]:
        with suppress(psutil.NoSuchProcess):
            left.kill()


def _replacing(text: str) -> str:
    """A plain command takes the shell's place, so that it is this process's own child, and ends with it."""
    return text if set(text) & set(";&|<>()\n") else f"exec {text}"


def _listen(
    stream: IO[str], tail: "deque[str]", log: Callable[[str], None], progress: Callable[[dict[str, Any]], None]
) -> None:
    with stream:
        for line in stream:
            text = line.rstrip()
            with suppress(json.JSONDecodeError):  # a line cut off by a kill is a line like others
                if text.startswith(PREFIX):
                    progress(json.loads(text.removeprefix(PREFIX)))
                    continue
            if text:
                tail.append(text)
                log(text)


def _sentence(command: Command, code: int, tail: list[str]) -> str:
    """What the stage said of its failure: its own sentence ("train: ...", to the end), else its last lines.

    Who is ended by a signal has said nothing of it, whatever its last line was.
    """
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        memory = " If nobody did that, the machine ran out of memory: see `dmesg`, and lower the batch size."
        return f"{command.stage} was ended by {name}.{memory if number == signal.SIGKILL else ''} Run again to go on."
    words = shlex.split(command.text)
    speakers = tuple(f"{' '.join(words[start:])}: " for start in range(1, len(words)))
    for start in range(len(tail) - 1, -1, -1):
        if tail[start].startswith(speakers):
            return "\n".join(tail[start:])
    last = os.linesep.join(f"    {line}" for line in tail)
    return f"{command.stage} failed with exit code {code}. Its last lines:\n{last}"
