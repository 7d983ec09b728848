"""Flow runs whose process died with its machine: nobody told the server, so whoever cleans up after them does."""

from collections.abc import Callable
from datetime import datetime

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

from flows.workspace import label, recover


def bury(tell: Callable[[str], None]) -> None:
    """Remove what dead runs left behind, and end those that the server takes for running as *Crashed*."""
    if not (dead := recover(tell)):
        return
    running = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING])
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"state": {"type": running}})):
            if run.state and _before(run.state.timestamp, dead.get(label(run.name))):
                message = "The process of this run died. What it finished is kept; start it again to go on."
                client.set_flow_run_state(run.id, Crashed(message=message), force=True)
                tell(f"the run {run.name} is Crashed: its process died")


def _before(state: datetime, made: datetime | None) -> bool:
    """Whether a run got its state before the worktree was made; else it was started again meanwhile."""
    return made is not None and state <= made
