"""Starts the processes of a training by torchrun's agent, and says what went wrong in the one that failed first.

    run("train", Launch(processes=2))

Nothing is restarted: the next run goes on from the last checkpoint. Process 0 speaks for all on this process's own
standard output; the others are heard only where they fail. Each leaves its error in the file that the agent names.
"""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tasks.core.errors import MachineError, StageFailed, TemperError
from tasks.core.protocol import INNER, read_error
from tasks.training.launch import Launch
from tasks.training.rendezvous import Meeting, meeting

PATIENCE = 10
"""Seconds that the others are given to end after one has failed."""

ARRIVAL = timedelta(minutes=10)
"""How long a host waits for the others."""

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**18)}
"""Has GNU's allocator give back each large tensor at once. By itself it keeps those up to 32 MB in heaps that fragment:
two processes that share 100 million weights then take 2.1 GB each at their peak, in the place of 1.7."""

LOST = ("Connection closed by peer", "Connection reset by peer", "Socket closed", "Broken pipe", "Connection refused")
"""What the libraries say in a process that another one has left."""


def run(what: str, launch: Launch) -> None:
    """Run the stage `what` in the processes of this host, and wait until they have ended.

    Raises the error that the first to fail reports, else `StageFailed`; `MachineError` where the hosts do not meet.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import launch_agent

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what went wrong is said here, once
    place = meeting(launch, os.environ) if launch.nodes > 1 else None
    if place and place.node:
        print(f"{what}: host {place.node} of {launch.nodes} takes part; host 0 shows the progress", flush=True)
    ended_by = None
    with tempfile.TemporaryDirectory(prefix="temper-torchrun-") as logs, _environment(launch):
        try:
            launch_agent(_configuration(launch, place, logs), sys.executable, ["-m", "tasks", what])
        except ChildFailedError as failed:
            raise _reported(what, launch, place, failed, Path(logs)) from None
        except SignalException as stopped:
            ended_by = stopped.sigval
        except (TimeoutError, RuntimeError) as error:  # torch's DistStoreError is one
            if place is None:
                raise
            minutes = ARRIVAL.total_seconds() / 60
            raise MachineError(
                f"{what}: host {place.node} of {launch.nodes} did not meet the others at {place.address}:{place.port} "
                f"within {minutes:g} minutes ({' '.join(str(error).split())[:200]}); start all hosts, and check that "
                "this port of the first one is reachable."
            ) from None
    if ended_by:
        from tasks.training.interruption import end_by

        end_by(ended_by)


def _configuration(launch: Launch, place: Meeting | None, logs: str) -> Any:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.launcher.api import LaunchConfig

    first = 0 if place and place.node else 1  # process 0 over all hosts keeps the standard streams
    redirects = dict.fromkeys(range(first, launch.processes), Std.ALL)
    redirects |= {0: Std.NONE} if first else {}
    meet: dict[str, Any] = (
        {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "127.0.0.1", "run_id": str(os.getpid())}
        if place is None
        else {
            "rdzv_backend": "static",
            "rdzv_endpoint": f"{place.address}:{place.port}",
            "rdzv_configs": {"rank": place.node, "timeout": int(ARRIVAL.total_seconds())},
            "run_id": "temper",
        }
    )
    return LaunchConfig(
        min_nodes=launch.nodes,
        max_nodes=launch.nodes,
        nproc_per_node=launch.processes,
        logs_specs=DefaultLogsSpecs(logs, redirects=redirects),
        max_restarts=0,
        shutdown_timeout=PATIENCE,
        **meet,
    )


@contextmanager
def _environment(launch: Launch) -> Iterator[None]:
    """What the processes find in their environment besides."""
    extra = {**INNER, **ALLOCATOR, "PYTHONUNBUFFERED": "1"}
    if launch.nodes == 1:
        extra |= {"GLOO_SOCKET_IFNAME": "lo"}  # nobody outside takes part, and a host's own name may lead nowhere
    before = {name: os.environ.get(name) for name in extra}
    os.environ.update(extra)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _reported(what: str, launch: Launch, place: Meeting | None, failed: Any, logs: Path) -> TemperError:
    """The error of the process that failed first: one that was killed, else the earliest that is not about another."""
    errors = {int(file.parent.name): read_error(file) for file in logs.glob("*/attempt_*/*/error.json")}
    codes = {failure.local_rank: failure.exitcode for failure in failed.failures.values()}
    ended = [number for number, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    reported = sorted((time, number) for number, (time, error) in errors.items() if not _lost(error))
    alone = sorted((time, number) for number, (time, error) in errors.items() if _lost(error))
    silent = [number for number, code in codes.items() if code > 0 and number not in errors]
    number = next(
        iter([*ended, *(number for _, number in reported), *silent, *(number for _, number in alone), *codes])
    )
    code = codes.get(number, 1)
    error = errors[number][1] if number in errors else StageFailed(_last(logs, number))
    rank = number + launch.processes * (place.node if place else 0)
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    text = str(error).removeprefix(f"{what}: ")
    if launch.nodes > 1 and _lost(error) and code >= 0:
        text = "it lost the processes of another host, whose log says why."
    return type(error)(
        f"process {rank} of {launch.world} {how}, and the others were stopped: {text} Run again: training resumes from "
        "the last checkpoint."
    )


def _lost(error: TemperError) -> bool:
    return any(words in str(error) for words in LOST)


def _last(logs: Path, number: int) -> str:
    """The last line of a process that reported no error; the first one has said it where all can see."""
    files = sorted(logs.glob(f"*/attempt_*/{number}/stderr.log"))
    if not files:
        return "its own message above says why."
    lines = [line for line in files[-1].read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing."
