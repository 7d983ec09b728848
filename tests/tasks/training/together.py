"""Trains in several processes that are forked from one which has loaded the libraries: a second each, and not ten.

What starts the processes of a real training is `tasks.training.torchrun`, which has tests of its own.
"""

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from tasks.core.paths import Paths
from tasks.training import distributed

LIBRARIES = ["tasks.train.run", "tasks.align.run", "trl.trainer.grpo_trainer", "trl.trainer.dpo_trainer"]

KILLED = 9


def together(work: Callable[..., None], paths: Paths, settings: Any, dies_at: int | None = None) -> list[int]:
    """Call `work(settings, paths)` in as many processes as `settings.launch` says; return their exit codes, by rank.

    `dies_at`: the step behind which the last process ends without a word, and the others with it.
    """
    _own_server()
    context: Any = multiprocessing.get_context("forkserver")
    world = settings.launch.world
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        context.Process(target=_member, args=(work, settings, paths.root, rank, world, port, dies_at))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in reversed(processes):  # the last one dies first
        process.join()
        if process.exitcode:
            for other in processes:
                other.kill()
    return [process.exitcode for process in processes]


@cache
def _own_server() -> None:
    """Start the server that processes are forked from as one of several, which transformers asks when it is imported.

    There is one server a process, and other tests may have started it for processes that are alone.
    """
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # for tests, says its docstring
    forkserver.set_forkserver_preload(LIBRARIES)
    os.environ["WORLD_SIZE"] = "2"
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["WORLD_SIZE"]


def _member(
    work: Callable[..., None], settings: Any, root: Path, rank: int, world: int, port: int, dies_at: int | None
) -> None:
    from tasks.training.callbacks import MonitorCallback

    values = (rank, rank, world, "127.0.0.1", port)
    os.environ.pop("WORLD_SIZE", None)  # that of the server
    if world > 1:
        os.environ.update(dict(zip(distributed.MEMBER, map(str, values), strict=True)))
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "DS_ACCELERATOR": "cpu", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    os.chdir(root)
    if dies_at is not None and rank == world - 1:
        reported = MonitorCallback.on_step_end

        def die(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            reported(self, args, state, control, **kwargs)
            if state.global_step == dies_at:
                os._exit(KILLED)

        MonitorCallback.on_step_end = die  # type: ignore[method-assign]
    output = (root / f"output-{rank}.txt").open("w")
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        work(settings, Paths(root))
    output.flush()
