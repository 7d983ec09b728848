"""What the processes of a training know of each other: how many there are, which one this is, and that all are here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.core.errors import InputError, MachineError
from tasks.core.unforeseen import RANK
from tasks.training.launch import Launch

MEMBER = (RANK, "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process that it starts."""


def rank() -> int:
    """The number of this process; 0 where it is the only one."""
    return int(os.environ[RANK]) if started() else 0


def started() -> bool:
    """Whether this process is one of several that torchrun started: temper's own agent, or one outside."""
    return all(name in os.environ for name in MEMBER)


def run(what: str, launch: Launch) -> bool:
    """Run the stage `what` in the processes of `launch`, if there are several and none is this one; whether it did.

    Raises the error of the process that failed first.
    """
    if launch.world == 1 or started():
        return False
    from tasks.training import torchrun

    torchrun.run(what, launch)
    return True


def join(what: str, launch: Launch, threads: int) -> None:
    """Meet the other processes, if there are any; each computes with so many `threads`.

    Raises `MachineError` where torchrun started another number of them, or there are fewer GPUs.
    """
    if not started():
        return
    import torch
    from accelerate import PartialState

    if (count := int(os.environ["WORLD_SIZE"])) != launch.world:
        raise MachineError(
            f"{what}.launch is for {launch.world} processes ({launch.nodes} hosts with {launch.processes} each), but "
            f"torchrun started {count}; change processes and nodes to match, since they set the batch size."
        )
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    local = int(os.environ.get("LOCAL_WORLD_SIZE", launch.processes))
    if cards and cards < local:
        raise MachineError(f"{what}.launch.processes is {local}, but there are {cards} GPUs; set it to {cards}.")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # accelerate would share out the cores by itself
    PartialState(cpu=not cards)


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


def check_shared(what: str, folder: Path, launch: Launch) -> None:
    """Raise `InputError` where a host does not see the `folder` that the first process has made.

    Checkpoints are written by all processes, and the result by the first; call it on each process.
    """
    if launch.nodes > 1 and not folder.is_dir():
        raise InputError(
            f"{what}: this host does not see {folder}, which the first host created; put the project into a folder "
            "that all hosts share, such as NFS."
        )
