"""Work on many items in as many processes as there are cores, as if it were one: same order, same errors, same bytes.

Workers are forked, so that a loaded tokenizer is there at once. They end with the process that started them, however
that ends. It is one of the processes that work, for each fork takes some 20 ms of a processor, and each result a way.
"""

import gc
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, TypeVar

from tasks.core.errors import MachineError

Item = TypeVar("Item")
Result = TypeVar("Result")

FEW = 4
"""Items for which no process is started."""

AHEAD = 4
"""Items a process that may be done, or under way, before the next one in order is: what bounds the memory."""

ENOUGH = 3
"""Items a worker that are under way, or wait for it, before this process works on one: else they run out."""

THREADS = "TOKENIZERS_PARALLELISM"
"""Variable of the environment by which the library tokenizers uses threads, which are not forked."""

_work: Callable[[Any], Any]
"""What this worker does to an item; forked with the worker, for it may be large."""


def cores() -> int:
    """Processes that are worth their start here: the cores this process may use, or 1 where none can be forked."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def ordered(work: Callable[[Item], Result], items: Iterable[Item], processes: int) -> Iterator[Result]:
    """What `work` makes of each item, in their order. What it raises is raised here, when its turn comes.

    `work` must not depend on the items before. This process is one of the `processes`: where the others have enough to
    do it works on an item itself. Raises `MachineError` where a worker ends before its time.
    """
    waiting = iter(items)
    first = list(islice(waiting, FEW))
    if processes < 2 or len(first) < FEW:
        yield from map(work, chain(first, waiting))
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(processes - 1, get_context("fork"), _begin, (work,))
    futures: deque[Future[Result]] = deque()
    workers: set[BaseProcess] = set()
    try:
        with _without_threads():
            for item in chain(first, waiting):
                while futures and (futures[0].done() or len(futures) == AHEAD * processes):
                    yield futures.popleft().result()
                if sum(not future.done() for future in futures) < ENOUGH * (processes - 1):
                    futures.append(pool.submit(_do, item))
                    workers = workers or set(active_children()) - others
                else:
                    futures.append(_done(work, item))
            while futures:
                yield futures.popleft().result()
    except BrokenProcessPool:
        pool.shutdown()  # which ends the other workers, too, and waits for them
        raise MachineError(
            f"a worker process died (exit code {_first_exit(workers)}; -9 usually means that memory ran out); free "
            "some memory and run again."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _done(work: Callable[[Item], Result], item: Item) -> Future[Result]:
    """What `work` makes of an item here, or raises, as if a worker had done it."""
    future: Future[Result] = Future()
    try:
        future.set_result(work(item))
    except Exception as error:
        future.set_exception(error)
    return future


@contextmanager
def _without_threads() -> Iterator[None]:
    """Let the library tokenizers use no threads, for there are as many processes as cores."""
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "false"
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before


def _first_exit(workers: Iterable[BaseProcess]) -> int | None:
    """The exit code of the worker that ended by itself; the pool ends the others with SIGTERM."""
    codes = {worker.exitcode for worker in workers}
    return next(iter(codes - {0, -signal.SIGTERM}), -signal.SIGTERM)


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole group; the process that started us counts
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Idle workers hold both ends of the pool's pipes: the end of their parent alone would not reach them."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _do(item: Any) -> Any:
    return _work(item)
