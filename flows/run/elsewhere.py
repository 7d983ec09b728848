"""A stage on another machine: what it reads is sent, and a run of its own is queued and waited for."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.bridge import pack, shared
from flows.deploy.deployments import served
from flows.run.ending import cancel
from flows.run.heartbeat import BEAT, SILENCE, Listener
from flows.run.policies import Share
from flows.run.pruning import STOPPED, Pruned, PruningRule
from flows.server.retry import retry
from flows.worktree import remotes
from flows.worktree.worktree import label
from tasks.core.errors import MachineError, StageFailed, Unavailable

Answer = TypeVar("Answer")

DEPLOYMENT = "stage/temper"

POLL = 1.0
"""Seconds between two looks at the run of a stage."""

AWAY = 3600.0
"""Seconds for which a server that is away is waited for: the stage goes on meanwhile, and may take longer than that."""

UNFINISHED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]

PASSING = {"Crashed", "NotShared"}
"""Ends of a stage's run that another try may do without."""


class Elsewhere:
    """Runs stages on workers of queues; what they make is then in the remotes that `share` names."""

    def __init__(self, share: Share, tell: Callable[[str], None]) -> None:
        self.share = share
        self._tell = tell

    def run(
        self,
        stage: str,
        key: str,
        queue: str,
        wait: Callable[[], None],
        *,
        force: bool = False,
        pruning: PruningRule | None = None,
    ) -> float:
        """Have `stage`, which `key` identifies with its inputs, run by a worker of `queue`; return the seconds it took.

        Where the same is under way for another run, or for one that died, that one is waited for. `wait` is called now
        and then, and may raise to give up: what was queued here is then cancelled. Raises `StageFailed` as the stage
        did, `Pruned` where `pruning` ended it, `Unavailable` where its worker died, or a remote or the server was away.
        What its worker had pushed before it died counts all the same.
        """
        start, mine = time.perf_counter(), False
        child = self._asked(partial(_under_way, key), stage, wait)
        if child is None:
            commit = pack(stage, self.share.dvc)
            remotes.send(commit, self.share)
            parameters = {
                "stage": stage,
                "commit": commit,
                "key": key,
                "force": force,
                "pruning": pruning.model_dump() if pruning else None,
            }
            child, mine = self._asked(partial(_queue, parameters, queue, str(uuid4())), stage, wait), True
        self._tell(f"{stage} is sent to a worker of the queue {queue}, as the run {child.name}")
        try:
            child = self._ended(child.id, stage, queue, wait)
        except Unavailable:  # the server: the stage goes on, and what it makes is in the remote for the next run
            raise
        except BaseException:
            if mine:
                retry(partial(_cancel, child.id))
                remotes.forget(child.parameters["commit"], self.share)
            raise
        remotes.forget(child.parameters["commit"], self.share)
        if force or not self._pushed(stage, child, key):
            _check(stage, child)
        return time.perf_counter() - start

    def _ended(self, child_id: UUID, stage: str, queue: str, wait: Callable[[], None]) -> FlowRun:
        listener, reported = Listener(), False
        while True:
            wait()
            asked = time.monotonic()
            child = self._asked(partial(_read, child_id), stage, wait)
            if time.monotonic() - asked > BEAT:
                listener = Listener()  # no beat could come through while the server was away
            if child.state and child.state.is_final():
                return child
            if listener.silent(child):
                died = f"{stage} ran as {child.name} on a machine that has been silent for {SILENCE:.0f} s."
                self._asked(partial(_end, child_id, Crashed(message=died)), stage, wait)
                continue
            waits = not reported and child.state and child.state.is_scheduled()
            if waits and not self._asked(partial(_served, child), stage, wait):
                self._tell(
                    f"{stage} waits: no worker of the queue {queue} is running. Start one in a clone on a suitable "
                    f"machine: temper worker --queue {queue}"
                )
                reported = True
            time.sleep(POLL)

    def _asked(self, ask: Callable[[], Answer], stage: str, wait: Callable[[], None]) -> Answer:
        """What the server answers, which may be away for `AWAY`; that it is, is said once."""
        reported = False

        def again() -> None:
            nonlocal reported
            wait()
            if not reported:
                self._tell(
                    f"the Prefect server does not answer; this run waits for it, {AWAY / 60:.0f} minutes at most. "
                    f"{stage} continues on its machine, and its outputs are kept."
                )
                reported = True

        return retry(ask, again, AWAY)

    def _pushed(self, stage: str, child: FlowRun, key: str) -> bool:
        """Whether a run that ended without a word of success had pushed what the stage makes, before it died."""
        if child.state is None or child.state.name not in PASSING:
            return False
        with suppress(Unavailable):
            if shared(key, self.share.dvc):
                self._tell(
                    f"{child.name} ended {child.state.name}, but had pushed the outputs of {stage}, so they are used."
                )
                return True
        return False


def _check(stage: str, child: FlowRun) -> None:
    """Raise what the end of a stage's run was, where it was no good one."""
    state = child.state
    if state is None or state.is_completed():
        return
    if state.name == STOPPED:
        raise Pruned(state.message or "")
    kind = Unavailable if state.name in PASSING else StageFailed
    raise kind(f"{state.message or ''} ({stage} ran as {child.name}, and ended {state.name}.)".strip())


def _under_way(key: str) -> FlowRun | None:
    """The run of a stage with these inputs that is queued or at work."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
    same = FlowRunFilter(tags=FlowRunFilterTags(all_=[_tag(key)]), state=state)
    with get_client(sync_client=True) as client:
        return next(iter(client.read_flow_runs(flow_run_filter=same, limit=1)), None)


def _queue(parameters: dict[str, Any], queue: str, attempt: str) -> FlowRun:
    """Queue the run of a stage; asked again for the same attempt, the server gives the first one."""
    from prefect.deployments import run_deployment

    ask: Any = run_deployment  # typed for coroutines; in a task that is none it waits
    try:
        run: FlowRun = ask(
            DEPLOYMENT,
            flow_run_name=f"{label(flow_run.name or 'run')}-{label(parameters['stage'])}",
            parameters=parameters,
            timeout=0,
            idempotency_key=attempt,
            tags=[_tag(parameters["key"]), f"run:{flow_run.name}"],
            work_queue_name=queue,
            as_subflow=False,  # it may outlive this run, and serve another one
        )
    except ObjectNotFound:
        raise MachineError(f"the server has no deployment {DEPLOYMENT}; run: temper deploy") from None
    return run


def _tag(key: str) -> str:
    return f"stage:{key}"


def _read(flow_run_id: UUID) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run_id)


def _served(child: FlowRun) -> bool:
    return served(str(child.work_queue_name), str(child.work_pool_name))


def _cancel(flow_run_id: UUID) -> None:
    with get_client(sync_client=True) as client:
        cancel(client, flow_run_id)


def _end(flow_run_id: UUID, state: Any) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, state, force=True)
