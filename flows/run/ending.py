"""How a flow run that another one queued is ended by it."""

from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Cancelled, Cancelling


def cancel(client: SyncPrefectClient, flow_run_id: UUID) -> None:
    """Cancel a run: one that nobody has begun is over at once, as no worker would ever end it.

    Of another one its worker ends the process, and says so.
    """
    state = client.read_flow_run(flow_run_id).state
    if state and not state.is_final():
        client.set_flow_run_state(flow_run_id, Cancelled() if state.is_scheduled() else Cancelling(), force=True)
