"""Training by several processes, one a GPU, or on the CPU: they are started here, told apart, and end together."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from tasks.core.errors import MachineError, StageFailed, TemperError, from_json
from tasks.core.protocol import ASK, parse
from tasks.core.unforeseen import RANK

PATIENCE = 10.0
"""Seconds that the others are given to end after one has failed."""

LINGER = 2.0
"""Seconds to wait for the last lines of a process that has ended."""


def rank() -> int:
    """The number of this process; 0 where it is the only one."""
    return int(os.environ.get(RANK, 0))


def started() -> bool:
    """Whether this process is one of several that `together` started."""
    return RANK in os.environ


@dataclass(frozen=True)
class _Member:
    """One of several processes, and what is heard of it."""

    process: "subprocess.Popen[str]"
    said: IO[str] | None
    """Its standard error; None where a terminal shows it."""
    errors: list[TemperError]
    """What it reported, so far."""
    listener: threading.Thread


def together(what: str, processes: int) -> None:
    """Run the stage `what` in so many processes. Raises the error that the first to fail reports, else `StageFailed`.

    The first one speaks for all; the others are silent, and heard only where they fail.
    """
    common = {**os.environ, "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_port())}
    running: list[_Member] = []
    try:
        for number in range(processes):
            running.append(_started(what, number, common))
        if failed := _first_to_fail([member.process for member in running]):
            number, code = failed
            ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            running[number].listener.join(LINGER)
            error = running[number].errors[-1] if running[number].errors else StageFailed(_last(running[number].said))
            raise type(error)(
                f"process {number} of {processes} {ended}, and the others were ended: "
                f"{str(error).removeprefix(f'{what}: ')} Run again: it goes on from the last checkpoint."
            )
    finally:
        for member in running:
            if member.process.poll() is None:
                member.process.kill()
            member.process.wait()
            member.listener.join(LINGER)
            if member.said:
                member.said.close()


def _started(what: str, number: int, common: dict[str, str]) -> _Member:
    seen = number == 0 and sys.stderr.isatty()  # its progress is drawn there
    said: IO[str] | None = None if seen else tempfile.TemporaryFile("w+")  # noqa: SIM115
    own = {**common, **ASK["error"], "PYTHONUNBUFFERED": "1", RANK: str(number), "LOCAL_RANK": str(number)}
    command = [sys.executable, "-m", "tasks", what]
    process = subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=said, text=True, errors="replace")
    errors: list[TemperError] = []
    listener = threading.Thread(target=_listen, args=(process.stdout, errors, number == 0), daemon=True)
    listener.start()
    return _Member(process, said, errors, listener)


def _listen(stream: IO[str], errors: list[TemperError], speaks: bool) -> None:
    """Take the errors out of what a process prints; hand the rest on if it `speaks` for all."""
    with stream:
        for line in stream:
            message = parse(line)
            if message and message[0] == "error":
                errors.append(from_json(message[1]))
            elif speaks and line.strip():
                print(line, end="", flush=True)


def _last(said: IO[str] | None) -> str:
    """The last line of a process that reported no error; where there is a terminal, the first one has said it there."""
    if said is None:
        return "it has said why."
    said.seek(0)
    lines = [line for line in said.read().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing."


def _first_to_fail(processes: "list[subprocess.Popen[str]]") -> tuple[int, int] | None:
    """The number and the exit code of the first process that fails, the others being ended; None where all end well."""
    while True:
        codes = [process.poll() for process in processes]
        if failed := [(number, code) for number, code in enumerate(codes) if code]:
            for process in processes:
                process.terminate()
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end and any(process.poll() is None for process in processes):
                time.sleep(0.05)
            return min(failed, key=lambda each: each[1] > 0)  # one that was killed: others fail as it does not answer
        if all(code == 0 for code in codes):
            return None
        time.sleep(0.1)


def join(processes: int) -> None:
    """Meet the other processes, if there are any."""
    if not started():
        return
    import torch
    from accelerate import PartialState

    if torch.cuda.is_available() and torch.cuda.device_count() < processes:
        raise MachineError(
            f"train.processes is {processes}, and there are {torch.cuda.device_count()} GPUs; set it to that."
        )
    PartialState(cpu=not torch.cuda.is_available())


def wait() -> None:
    """Wait until every process is here."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


@contextmanager
def first() -> Iterator[None]:
    """What the first process does before the others do it."""
    if rank():
        wait()
    yield
    if not rank():
        wait()


def _port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
