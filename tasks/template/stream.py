"""Rows to a function in parts, and what it makes of them in the batches in which they came."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from zlib import crc32

from tasks.engine.chosen import Engine, Local
from tasks.template.arrow import Batch, alone, ids, joined, weight
from tasks.template.outcome import Outcome

PART, MOST = 32, 64
"""Rows of a part, on average and at most."""

TOGETHER, LARGE = 4, 2**20
"""Parts that go to a process together, fewer where their rows have this `weight`: enough to be worth the way, and few
enough for all processes to end together, and for the memory."""

SMALL = 2_000_000
"""Weight of rows that one process works on, some 0.6 s of a processor: a second process alone takes 0.15 s."""


def stream(work: Callable[[Batch], list[Outcome]], batches: Iterable[Batch], engine: Engine) -> Iterator[list[Outcome]]:
    """What becomes of each row, batch by batch, as the engine works them out.

    Which rows `work` gets together is up to their ids: it gets the same ones together when others come before, behind
    or between them.
    """
    lengths: deque[int] = deque()

    def parts() -> Iterator[Batch]:
        rest: Batch | None = None
        for batch in batches:
            lengths.append(len(batch))
            rest = batch if rest is None else joined(rest, batch)
            start = 0
            for end in _ends(ids(rest)):
                yield alone(rest[start:end])
                start = end
            rest = rest[start:]
        if rest is not None and len(rest):
            yield alone(rest)

    waiting = _together(parts())
    first, so_far = [], 0
    for some in waiting:
        first.append(some)
        so_far += sum(map(weight, some))
        if so_far >= SMALL:
            break
    if so_far < SMALL and not engine.remote:
        engine = Local(1)
    outcomes: list[Outcome] = []
    for outcomes_of_parts in engine.ordered(partial(_each, work), chain(first, waiting)):
        outcomes += outcomes_of_parts
        while lengths and len(outcomes) >= lengths[0]:
            whole = lengths.popleft()
            yield outcomes[:whole]
            outcomes = outcomes[whole:]


def _together(parts: Iterable[Batch]) -> Iterator[list[Batch]]:
    """The parts, some at a time."""
    some: list[Batch] = []
    for part in parts:
        some.append(part)
        if len(some) == TOGETHER or sum(map(weight, some)) >= LARGE:
            yield some
            some = []
    if some:
        yield some


def _each(work: Callable[[Batch], list[Outcome]], parts: list[Batch]) -> list[Outcome]:
    """What becomes of each row of each part."""
    return [outcome for part in parts for outcome in work(part)]


def _ends(names: list[str]) -> Iterator[int]:
    """Behind which of the rows a part ends."""
    start = 0
    for number, name in enumerate(names, 1):
        if number - start == MOST or crc32(name.encode()) % PART == 0:
            yield number
            start = number
