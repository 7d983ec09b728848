"""A stage's command as a child process, as `dvc repro` would start it; its lines, its progress, its error, its end."""

import os
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

from flows.system.guardian import guarded
from tasks.core.errors import AGAIN, StageFailed, TemperError, Unavailable, from_json
from tasks.core.fixed import FIXED
from tasks.core.paths import PATHS
from tasks.core.protocol import ASK, parse

GRACE = 20.0
"""Seconds between asking children to end and ending them: a training ends its step and writes a checkpoint."""

LINGER = 2.0
"""Seconds to wait for the last lines of a process that has ended."""

TAIL = 30
"""Lines kept of each stream for the message of a failure of which the process itself sent no error."""


@dataclass(frozen=True)
class Answer:
    """What a module printed, and the errors that it reported."""

    lines: list[str]
    errors: list[TemperError]

    def checked(self) -> list[str]:
        """Return the lines; raise the first error where there is one."""
        for error in self.errors:
            raise error
        return self.lines


def ask(module: str, *arguments: str) -> Answer:
    """Run `python -m module` in an environment as stages have it, to its end.

    Where it fails without an error of its own, `Answer.errors` holds a `StageFailed` that says how it ended.
    """
    command = [sys.executable, "-P", "-W", "ignore", "-m", module, *arguments]
    environment = {**os.environ, **FIXED, **ASK["error"], **guarded()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    lines, errors = [], []
    for line in done.stdout.removesuffix("\n").split("\n"):
        message = parse(line)
        if message and message[0] == "error":
            errors.append(from_json(message[1]))
        else:
            lines.append(line)
    if done.returncode and not errors:
        tail = (done.stderr.strip() or done.stdout.strip()).split("\n")[-TAIL:]
        errors.append(StageFailed(_end_of(f"python -m {module}", done.returncode, tail)))
    return Answer(lines, errors)


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
        tell: Callable[[str], None] | None = None,
    ) -> float:
        """Run `command` to its end; return the seconds it took, at most `timeout`.

        Its lines go to `log`, those that a person should read at once to `tell`.

        Raises the error that it reported, as it was there; else `StageFailed` with what it printed last, `Unavailable`
        where its exit code says that another try may succeed.
        """
        start = time.perf_counter()
        errors: deque[str] = deque(maxlen=TAIL)
        lines: deque[str] = deque(maxlen=TAIL)
        reported: list[TemperError] = []

        def take(line: str, tail: deque[str]) -> None:
            message = parse(line)
            if message and message[0] == "progress":
                progress(message[1])
            elif message and message[0] == "note":
                (tell or log)(message[1]["text"])
            elif message:
                reported.append(from_json(message[1]))
                log(str(reported[-1]))
            elif text := line.rstrip():
                tail.append(text)
                log(text)

        with self._started(command) as process:
            streams = ((process.stdout, lines), (process.stderr, errors))
            listeners = [
                threading.Thread(
                    target=copy_context().run,  # Prefect finds the task run, to log to, in the context
                    args=(_listen, stream, tail, take),
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
                    f"{command.stage} was stopped after {timeout:g} s, its timeout in {PATHS.policies}."
                ) from None
            for listener in listeners:
                listener.join(LINGER)  # a process that the stage left behind may hold the pipe open
        if self._stopped.is_set():
            raise StageFailed(f"{command.stage} was stopped before it finished.")
        if code:
            if reported:
                raise reported[-1]
            kind = Unavailable if code == AGAIN else StageFailed
            raise kind(_end_of(command.stage, code, list(errors) or list(lines)))
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
                env={
                    **command.environment,
                    **ASK["progress"],
                    **ASK["note"],
                    **ASK["error"],
                    **guarded(),
                    "PYTHONUNBUFFERED": "1",
                },
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


def _listen(stream: IO[str], tail: "deque[str]", take: Callable[[str, "deque[str]"], None]) -> None:
    with stream:
        for line in stream:
            take(line, tail)


def _end_of(process: str, code: int, tail: list[str]) -> str:
    """How a process ended that reported no error: the signal and what to do, or exit code and last lines."""
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        memory = " If nobody did this, memory ran out: see `dmesg`, and lower the batch size."
        return f"{process} was killed by {name}.{memory if number == signal.SIGKILL else ''} Run again to continue."
    last = os.linesep.join(f"    {line}" for line in tail)
    return f"{process} failed with exit code {code}. Its last lines:\n{last}"
