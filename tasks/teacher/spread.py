"""A model folder as a teacher on the nodes of a Ray cluster: each request is a task, which a node takes that is free.

Record, budget and limits stay with who asks, in one process: nodes compute, and know of nothing else. An answer depends
on the model, the request and the number of threads, not on the node, so the bytes are those of one process.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.core.errors import MachineError
from tasks.core.paths import Paths
from tasks.engine import ready
from tasks.engine.settings import Machine
from tasks.models.sent import packed, unpack
from tasks.teacher.errors import FatalError
from tasks.teacher.local import LocalBackend, local_name
from tasks.teacher.nodes import Nodes
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Teacher


class SpreadBackend:
    """A model folder whose copies on the nodes answer; make and use it in one event loop."""

    ahead = True

    def __init__(self, settings: Teacher, where: Nodes) -> None:
        """Connect. Raises `FatalError` where there is no model, or no cluster."""
        import torch

        from tasks.engine.cluster import connected

        folder = Path(str(settings.model))
        if not folder.is_dir():
            raise FatalError(f"{folder}: no model that can be loaded (no such folder)", "input")
        self.model = local_name(folder)
        self._cores = settings.threads or torch.get_num_threads()
        self._work = Sent(settings.model_copy(update={"threads": self._cores}))
        self._held = ExitStack()
        if faults := list(ready.faults(Machine(engine="ray", address=where.address))):
            raise FatalError("\n".join(faults).removesuffix("."), "machine")  # Ray itself would try for minutes
        try:
            self._cluster = self._held.enter_context(connected(where.address, Paths(where.root)))
        except MachineError as error:
            raise FatalError(str(error), "machine") from None

    async def ask(self, request: Request) -> Response:
        """As `LocalBackend` answers. Raises as it does, and `FatalError` where nodes end before their time."""
        try:
            return await self._cluster.awaited(self._work, request, cores=self._cores, card=True)
        except MachineError as error:
            raise FatalError(str(error), "machine") from None

    async def close(self) -> None:
        self._held.close()


class Sent:
    """A teacher's model as its files, which is loaded where it arrives."""

    def __init__(self, settings: Teacher) -> None:
        self._settings = settings

    def __call__(self, request: Request) -> Response:
        """Never called where it was not sent."""
        raise AssertionError("the model was not sent")

    def __reduce__(self) -> tuple[Any, ...]:
        return _loaded, (packed(Path(str(self._settings.model))), self._settings)


def _loaded(files: dict[str, bytes], settings: Teacher) -> Callable[[Request], Response]:
    with TemporaryDirectory(prefix="teacher-") as place:
        backend = LocalBackend(settings, unpack(files, Path(place) / Path(str(settings.model)).name))
    return lambda request: asyncio.run(backend.ask(request))
