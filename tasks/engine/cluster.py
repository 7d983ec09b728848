"""Work on many items as tasks on the nodes of a Ray cluster, as if it were one process: the only file that knows Ray.

Assumed of the nodes: the same Python and the same locked versions, which is compared; nothing of a common file system.
The code of `tasks` and what the work needs travel through Ray. A node that dies costs what it was working on, which
another one does again.
"""

import asyncio
import hashlib
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from tasks.core.errors import MachineError
from tasks.core.fixed import FIXED
from tasks.core.imports import torch_is_hidden, without_torch
from tasks.core.paths import Paths
from tasks.engine import versions
from tasks.engine.keys import without_keys

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items a core that may be done, or under way, before the next one in order is: what bounds the memory here."""

RETRIES = 5
"""Times that an item is worked on again because its node or process died."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # to its makers
    "RAY_worker_niceness": "0",  # Ray's own 15 lets everything else on a machine go first
}
"""Environment of Ray, for a cluster that starts here."""

LOOPBACK = frozenset({"127.0.0.1", "localhost"})

SHORT = "/tmp/temper-ray-"
"""Before a link to Ray's temporary folder, in whose path there is no room for more (107 characters of a socket)."""

_works: dict[str, Callable[[Any], Any]] = {}
"""In a worker: the work that it does, by its hash."""


class Cluster:
    """The cluster that this process is connected to."""

    remote = True

    def __init__(self, wanted: dict[str, str]) -> None:
        """`wanted`: the version of every distribution that has to be the same on the nodes."""
        self._wanted = wanted
        self._sent: tuple[Any, str, Any] = (None, "", None)
        self._tasks: dict[tuple[int, int], Any] = {}
        self.items = 0
        """Items that were sent to nodes so far."""

    @property
    def places(self) -> int:
        """Cores of all nodes, at this moment."""
        return int(_resources().get("CPU", 0))

    @property
    def address(self) -> str:
        """Where other processes of this machine find it."""
        import ray

        return str(ray.get_runtime_context().gcs_address)

    def ordered(
        self, work: Callable[[Item], Result], items: Iterable[Item], *, cores: int = 1, card: bool = False
    ) -> Iterator[Result]:
        """See `tasks.engine.chosen.Engine`."""
        import ray

        name, stored = self._send(work)
        cores, cards = _available(cores, card=card)
        do = self._task(cores, cards)
        waiting: deque[Any] = deque()
        try:
            for item in items:
                self.items += 1
                waiting.append(do.remote(name, [stored], item))  # in a list: fetched where it is needed, not each time
                if len(waiting) >= AHEAD * max(1, _at_once(cores, cards)):
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for left in waiting:
                ray.cancel(left, force=True)

    async def awaited(
        self, work: Callable[[Item], Result], item: Item, *, cores: int = 1, card: bool = False
    ) -> Result:
        """What `work` makes of one item, or raises; any number of them may be waited for at once. See `ordered`."""
        import ray

        name, stored = self._send(work)
        self.items += 1
        reference = self._task(*_available(cores, card=card)).remote(name, [stored], item)
        try:
            await asyncio.wait([asyncio.wrap_future(reference.future())])
        except asyncio.CancelledError:
            ray.cancel(reference, force=True)
            raise
        return _result(reference)  # type: ignore[no-any-return]

    def _task(self, cores: int, cards: int) -> Any:
        """What Ray starts for an item; made once, as Ray sends each one to the nodes that is new to it."""
        import ray

        if (cores, cards) not in self._tasks:
            self._tasks[cores, cards] = ray.remote(num_cpus=cores, num_gpus=cards, max_retries=RETRIES)(_do)
        return self._tasks[cores, cards]

    def _send(self, work: Callable[[Any], Any]) -> tuple[str, Any]:
        """The work's hash, and where nodes get it from; the same work is sent once."""
        import ray
        from ray import cloudpickle

        sent, name, stored = self._sent
        if sent is not work:
            pickled = cloudpickle.dumps(work)
            name = hashlib.sha256(pickled).hexdigest()
            stored = ray.put((torch_is_hidden(), self._wanted, pickled))
            self._sent = (work, name, stored)
        return name, stored


def _resources() -> dict[str, float]:
    import ray

    return dict(ray.cluster_resources())


def _available(cores: int, *, card: bool) -> tuple[int, int]:
    """Cores and cards that a task takes: no more cores than the largest node has, or it would wait for ever."""
    import ray

    largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    return max(1, min(cores, int(largest))), int(card and bool(_resources().get("GPU")))


def _at_once(cores: int, cards: int) -> int:
    """Items that the cluster works on at once, as large as it is now."""
    resources = _resources()
    most = int(resources.get("CPU", 0)) // max(1, cores)
    return min(most, int(resources.get("GPU", 0))) if cards else most


@contextmanager
def connected(address: str | None, paths: Paths) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, or start one of this machine alone that ends with the block.

    Within such a block, a process has the same connection again. No process that starts here has a key of a service in
    its environment. Raises `MachineError` where there is no cluster, or it has no cores.
    """
    os.environ.update(ENVIRONMENT)
    if address is None or address.rpartition(":")[0] in LOOPBACK:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's word for: listen on the loopback interface
    import logging

    import ray

    if ray.is_initialized():
        yield Cluster(versions.locked(paths))
        return
    folder = _folder() if address is None else None
    own: dict[str, Any] = {"include_dashboard": False, "_temp_dir": str(folder)} if folder else {"address": address}
    code = {"py_modules": [str(Path(__file__).parents[1])], "env_vars": {**FIXED, **ENVIRONMENT}}
    try:
        try:
            with without_keys(paths):
                ray.init(
                    **own, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True
                )
        except Exception as error:  # ConnectionError, RuntimeError, ValueError, and what gRPC raises
            reason = " ".join(str(error).split())[:300]
            raise MachineError(
                f"machine.engine: Ray does not start, or there is no cluster at machine.address ({reason}); check that "
                "the cluster runs with the same versions of Python and Ray, or set machine.engine=local."
            ) from None
        cluster = Cluster(versions.locked(paths))
        if not cluster.places:
            raise MachineError("machine.engine: the Ray cluster has no node with a free core; add a node.")
        yield cluster
    finally:
        ray.shutdown()
        if folder:
            folder.unlink(missing_ok=True)


def _folder() -> Path:
    """A short name for a temporary folder in the place that this process has for them."""
    for link in Path(SHORT).parent.glob(f"{Path(SHORT).name}*"):
        with suppress(OSError):  # another user's
            if link.is_symlink() and not link.exists():  # of a process that was killed; the folder went with it
                link.unlink()
    folder = Path(mkdtemp(prefix="ray-"))
    link = Path(f"{SHORT}{folder.name.removeprefix('ray-')}")
    link.symlink_to(folder)
    return link


def _do(name: str, stored: list[Any], item: Any) -> tuple[bool, Any]:
    """In a worker: the work's result, or what it raised, which is no fault of the node."""
    try:
        return True, _work(name, stored)(item)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # of a class that cannot travel
            return False, MachineError(f"{type(error).__name__}: {error}")
        return False, error


def _work(name: str, stored: list[Any]) -> Callable[[Any], Any]:
    """The work of that name, made once a process."""
    if name not in _works:
        import ray
        from ray import cloudpickle

        hidden, wanted, pickled = ray.get(stored[0])
        if hidden:
            without_torch()
        versions.check(wanted)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        _works.clear()  # of an earlier stage of the same process: a tokenizer, or a model
        _works[name] = cloudpickle.loads(pickled)
    return _works[name]


def _result(reference: Any) -> Any:
    import ray

    try:
        done, result = ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:300]
        raise MachineError(
            f"a node or a process of the Ray cluster died {RETRIES + 1} times ({reason}), most likely for lack of "
            "memory; free some memory, or add nodes, and run again."
        ) from None
    if not done:
        raise result
    return result
