"""The engine that params.yaml chooses.

    with chosen(paths) as engine:
        for result in engine.ordered(work, items):  # as `map` gives them: same order, same errors, same bytes
            ...

Work on a cluster runs where neither this project's files nor its memory are: what `work` and an item need travels with
them by value, so both can be pickled, and they name no file. Processes of this machine are forked and have all of it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tasks.core.errors import MachineError
from tasks.core.paths import Paths
from tasks.engine import local, ready
from tasks.engine.settings import machine

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Carries out one piece of work for many items."""

    @property
    def remote(self) -> bool:
        """Whether work may run on other machines."""

    @property
    def places(self) -> int:
        """Items that it can work on at once."""

    def ordered(
        self, work: Callable[[Item], Result], items: Iterable[Item], *, cores: int = 1, card: bool = False
    ) -> Iterator[Result]:
        """What `work` makes of each item, in their order. What it raises is raised here, when its turn comes.

        `work` must not depend on the items before. On a cluster it takes so many `cores`, and a graphics card where
        the cluster has any and it is to have one. Raises `MachineError` where a worker ends before its time.
        """


class Local:
    """As many processes as this one may use cores."""

    remote = False

    def __init__(self, places: int | None = None) -> None:
        """`places`: processes; None: `local.cores`."""
        self.places = local.cores() if places is None else places

    def ordered(
        self, work: Callable[[Item], Result], items: Iterable[Item], *, cores: int = 1, card: bool = False
    ) -> Iterator[Result]:
        """See `Engine`. Processes share this machine's cards, if it has any, and are not counted by cores."""
        return local.ordered(work, items, self.places)


@contextmanager
def chosen(paths: Paths) -> Iterator[Engine]:
    """The engine of `machine.engine`. Raises `MachineError` where it cannot be had."""
    settings = machine(paths)
    if faults := list(ready.faults(settings)):
        raise MachineError("\n".join(faults))
    if settings.engine == "local":
        yield Local()
        return
    from tasks.engine.cluster import connected  # loads Ray, which is asked for

    with connected(settings.address, paths) as cluster:
        yield cluster
