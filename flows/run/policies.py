"""infra/stages.yaml: how the stages of deployed runs are carried out. What they make does not depend on it."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from pydantic import Field, model_validator

from flows.server.retry import retry
from tasks.core.errors import MachineError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.core.settings import Settings, load
from tasks.stages import entries

FILE = PATHS.policies

GPU = "gpu"
"""The limit whose slots are graphics cards, and the queue of workers that have them."""

DAY = 86_400.0
"""Seconds until a stage that asks a teacher is ended, unless infra/stages.yaml says otherwise."""

QueueName = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]
"""A name that can stand in an address of the server."""

PAUSE = 1.0
"""Seconds between two questions for a slot; between them the run may be told to stop."""

LEASE = 120.0
"""Seconds until the server takes back the slots of a process that no longer renews them, for it has died."""


class Limit(Settings):
    """A Prefect concurrency limit; the server has it under the name `temper-NAME`."""

    slots: int = Field(gt=0)
    """Slots in all."""
    each: Literal["server", "host"] = "server"
    """Whether these are the slots of all workers together, or of each host (`temper-NAME-HOST`)."""


class StagePolicy(Settings):
    """How one stage is carried out."""

    retries: int = Field(default=0, ge=0)
    """Further tries where the reason may pass, such as a teacher that does not answer."""
    delay: float = Field(default=30.0, ge=0)
    """Before the first further try, seconds; twice as long before each one after it."""
    timeout: float | None = Field(default=None, gt=0)
    """Longest time that its command may take, seconds; null: no limit."""
    limits: dict[str, int] = Field(default={})
    """Slots that it takes of each limit while its command runs; a cached stage takes none."""
    queue: QueueName | None = None
    """Work queue whose workers run its command, on machines of their own; null: it runs where its run does."""


class Share(Settings):
    """How runs are shared with other machines: fetched from before they start, pushed to when they are finished."""

    git: str = "origin"
    """The git remote that gets the experiments."""
    dvc: str | None = None
    """The DVC remote of outputs and run cache; null: the default one."""
    retries: int = Field(default=3, ge=0)
    """Further tries where a push fails."""
    delay: float = Field(default=30.0, ge=0)
    """Before the first further try, seconds; twice as long before each one after it."""


class Operation(Settings):
    """All of infra/stages.yaml."""

    share: Share | None = None
    """Where runs are shared; null: they stay on the machine of their worker."""
    queues: list[QueueName] = Field(default=[])
    """Work queues for stages: the workers of each (`temper worker --queue NAME`) have what their stages need."""
    limits: dict[str, Limit] = Field(default={})
    """Limits by name."""
    stages: dict[str, StagePolicy] = Field(default={})
    """Stages by name or pattern (`evaluate*`); the first that fits counts."""

    @model_validator(mode="after")
    def _known(self) -> "Operation":
        if self.queues and self.share is None:
            raise ValueError("stages of a queue run on other machines, which need remotes to share data: set share")
        for stage, policy in self.stages.items():
            if policy.queue not in {None, *self.queues}:
                raise ValueError(f"{stage} is for the queue '{policy.queue}', which is not among the queues")
            for name, slots in policy.limits.items():
                if name not in self.limits:
                    raise ValueError(f"{stage} takes slots of '{name}', which is not among the limits")
                if slots > self.limits[name].slots:
                    raise ValueError(f"{stage} takes {slots} slots of '{name}', which has {self.limits[name].slots}")
        return self

    def of(self, stage: str) -> StagePolicy:
        """How `stage` is carried out: as its declaration says, with what the first pattern that fits says otherwise."""
        policy = _declared(stage, self.limits, self.queues)
        pattern = next((one for name, one in self.stages.items() if fnmatchcase(stage, name)), StagePolicy())
        return policy.model_copy(update={key: getattr(pattern, key) for key in pattern.model_fields_set})

    @contextmanager
    def slots(self, stage: str, wait: Callable[[], None], tell: Callable[[str], None]) -> Iterator[None]:
        """Hold the slots that `stage` takes; `wait` is called now and then while there are none, and may raise.

        Each question waits for its answer: of one that was given up, the server might grant a slot to nobody. One that
        is away is waited for. Where it is away when slots are to be renewed, the work goes on, and may share them with
        others; where it is when they are given back, it takes them itself, when `LEASE` is over.
        """
        with ExitStack() as held:
            for name, slots in sorted(self.of(stage).limits.items()):  # all in the same order: no two wait for another
                limit, most = self._name(name), self.limits[name].slots
                retry(partial(_create, limit, most), wait)
                reported = False
                while True:
                    wait()
                    try:
                        taken = retry(partial(_take, limit, slots), wait)
                        held.callback(_give_back, taken, limit, tell)
                        break
                    except ConcurrencySlotAcquisitionError as error:
                        if not _taken(error):
                            raise
                        if not reported:
                            tell(_waiting(stage, name, slots, most, limit))
                        reported = True
                        time.sleep(PAUSE)
            yield

    def _name(self, limit: str) -> str:
        return f"temper-{limit}-{socket.gethostname()}" if self.limits[limit].each == "host" else f"temper-{limit}"


def _waiting(stage: str, name: str, slots: int, most: int, limit: str) -> str:
    """What a run says when others have the slots of a limit."""
    why = ": stages that compute on a graphics card, or on the processor where there is none, share its slots"
    return (
        f"{stage} waits for its turn at the limit '{name}'{why if name == GPU else ''}. It takes {slots} of "
        f"{counted(most, 'slots')}; {PATHS.policies} sets how many there are, and Prefect calls it {limit}."
    )


def _declared(stage: str, limits: Mapping[str, Limit], queues: Sequence[str]) -> StagePolicy:
    """Stages that compute on a card share none, where there is a limit for it, and go to its queue, where there is one.

    Who asks a teacher asks again.
    """
    declared = entries().get(stage.partition("@")[0])
    if declared is None:
        return StagePolicy()
    asks, gpu = declared[0].asks_teacher, declared[0].resources.gpu
    return StagePolicy(
        retries=3 if asks else 0,
        timeout=DAY if asks else None,
        limits={GPU: 1} if gpu and GPU in limits else {},
        queue=GPU if gpu and GPU in queues else None,
    )


def operation(path: Path = FILE) -> Operation:
    """What infra/stages.yaml says; where there is none, that nothing is limited."""
    return load(Operation, path) if path.is_file() else Operation()


def _take(limit: str, slots: int) -> AbstractContextManager[None]:
    taken = concurrency(
        limit,
        occupy=slots,
        max_retries=0,
        lease_duration=LEASE,
        strict=True,
        raise_on_lease_renewal_failure=False,
    )
    try:
        taken.__enter__()
    except ConcurrencySlotAcquisitionError as error:
        if isinstance(error.__cause__, httpx.HTTPError) and not _taken(error):
            raise error.__cause__ from None
        raise
    return taken


def _give_back(taken: AbstractContextManager[None], limit: str, tell: Callable[[str], None]) -> None:
    try:
        taken.__exit__(None, None, None)
    except httpx.HTTPError:
        tell(f"the server did not answer; it frees the slots of {limit} {LEASE:.0f} s after they were last renewed")


def _taken(error: ConcurrencySlotAcquisitionError) -> bool:
    """Whether others have the slots; else the question failed."""
    cause = error.__cause__
    return isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == httpx.codes.LOCKED


def _create(name: str, slots: int) -> None:
    """Create a limit where the server has none; what somebody set there stays."""
    with get_client(sync_client=True) as client:
        try:
            existing = client.read_global_concurrency_limit_by_name(name)
            if not existing.active:
                raise MachineError(f"the concurrency limit {name} is inactive; activate it in the Prefect UI.")
        except ObjectNotFound:
            try:
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots))
            except ObjectAlreadyExists:
                return
