"""Whether the models of local teachers answer on the nodes of a cluster, and on which.

    with nodes(settings.teachers(), paths) as where:
        responses = ask_all(teacher, contents, store, run, budget=budget, report=report, where=where)

Servers are asked by one process whatever the engine: they are the bound, and their keys stay in that process.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.core.errors import MachineError
from tasks.core.paths import Paths
from tasks.engine import ready
from tasks.engine.settings import machine
from tasks.teacher.settings import Teacher


@dataclass(frozen=True)
class Nodes:
    """Where the models of local teachers answer."""

    address: str
    """Of the cluster's head."""
    root: Path
    """The project's folder."""


@contextmanager
def nodes(teachers: Iterable[Teacher], paths: Paths) -> Iterator[Nodes | None]:
    """The cluster of `machine.engine`, if it is one and any of `teachers` is local; else None.

    A cluster of this machine alone starts here, for all processes of the stage, and ends with the block; any other is
    not connected to before there is something to ask. Raises `MachineError` where there is none.
    """
    settings = machine(paths)
    if settings.engine == "local" or all(teacher.kind != "local" for teacher in teachers):
        yield None
        return
    if settings.address is not None:
        yield Nodes(settings.address, paths.root)
        return
    if faults := list(ready.faults(settings)):
        raise MachineError("\n".join(faults))
    from tasks.engine.cluster import connected

    with connected(None, paths) as cluster:
        yield Nodes(cluster.address, paths.root)
