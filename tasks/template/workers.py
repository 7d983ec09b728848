"""Work on many items in as many processes as there are cores, as if it were one: same order, same errors, same bytes.

Workers are forked, so that a loaded tokenizer is there at once, and given one item at a time: none waits in a pipe, so
that neither side can block the other. They end with their pipe, thus with the process that started them however that
ends.
"""

import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any, TypeVar

from tasks.core.errors import MachineError, TemperError

Item = TypeVar("Item")
Made = TypeVar("Made")

FEW = 4
"""Items for which no process is started."""

AHEAD = 4
"""Items a worker that may be done, or under way, before the next one in order is: what bounds the memory."""


def cores() -> int:
    """Processes that are worth their start here: the cores this process may use, or 1 where none can be forked."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def ordered(work: Callable[[Item], Made], items: Iterable[Item], processes: int) -> Iterator[Made]:
    """What `work` makes of each item, in their order. What it raises is raised here, when its turn comes.

    `work` must not depend on the items before. Raises `MachineError` where a worker ends before its time.
    """
    waiting = iter(items)
    first = list(islice(waiting, FEW))
    if processes < 2 or len(first) < FEW:
        yield from map(work, chain(first, waiting))
        return
    crew = _Crew(work, processes)
    try:
        yield from crew.run(enumerate(chain(first, waiting)))
    finally:
        crew.end()


class _Crew:
    """Forked workers, each at the end of a pipe."""

    def __init__(self, work: Callable[[Any], Any], processes: int) -> None:
        context = get_context("fork")
        self._idle: list[Any] = []
        self._workers: dict[Any, Any] = {}
        self._most = AHEAD * processes
        for _ in range(processes):
            mine, its = context.Pipe()
            worker = context.Process(target=_serve, args=(work, its, [*self._workers, mine]), daemon=True)
            worker.start()
            its.close()
            self._workers[mine] = worker
            self._idle.append(mine)

    def run(self, numbered: Iterator[tuple[int, Any]]) -> Iterator[Any]:
        done: dict[int, tuple[Any, Exception | None]] = {}
        following = 0
        upcoming = next(numbered, None)
        while upcoming or len(self._idle) < len(self._workers) or done:
            while upcoming and self._idle and upcoming[0] < following + self._most:
                self._send(self._idle.pop(), upcoming)
                upcoming = next(numbered, None)
            while following in done:
                made, error = done.pop(following)
                if error is not None:
                    raise error
                yield made
                following += 1
            busy = [pipe for pipe in self._workers if pipe not in self._idle]
            for pipe in wait(busy, 0 if following in done else None) if busy else []:
                number, made, error = self._received(pipe)
                done[number] = made, error
                self._idle.append(pipe)

    def end(self) -> None:
        for pipe, worker in self._workers.items():
            worker.terminate()
            worker.join()
            pipe.close()

    def _send(self, pipe: Any, numbered: tuple[int, Any]) -> None:
        try:
            pipe.send_bytes(pickle.dumps(numbered, pickle.HIGHEST_PROTOCOL))
        except OSError:
            self._lost(pipe)

    def _received(self, pipe: Any) -> Any:
        try:
            return pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            self._lost(pipe)

    def _lost(self, pipe: Any) -> None:
        worker = self._workers[pipe]
        worker.join()
        raise MachineError(
            f"a worker process ended before its time (exit code {worker.exitcode}; a machine short of memory "
            "ends one with -9); free some memory and run again."
        )


def _serve(work: Callable[[Any], Any], pipe: Any, others: list[Any]) -> None:
    """Work on items until the pipe ends. `others`: ends of pipes that are not this process's business."""
    for other in others:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole group; the pipe's end is what counts
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads were not forked
    gc.freeze()
    while True:
        try:
            number, item = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        made, error = None, None
        try:
            made = work(item)
        except Exception as raised:
            if not isinstance(raised, TemperError):
                raised.add_note(traceback.format_exc())  # that of another process is not seen else
            error = raised
        try:
            pipe.send_bytes(pickle.dumps((number, made, error), pickle.HIGHEST_PROTOCOL))
        except OSError:
            return
