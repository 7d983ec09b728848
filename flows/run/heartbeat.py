"""Whether the process of a flow run lives, wherever it is: it counts on, in a label of its run, as long as it does.

A worker tells the server when a run's process has died; of a machine that went away with both nobody does. Clocks of
other machines say nothing here: who listens goes by its own, and by whether the count has moved.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

LABEL = "temper.beat"

BEAT = 20.0
"""Seconds between two beats."""

SILENCE = 180.0
"""Seconds without a beat after which a run counts as dead; a server that stands still comes back sooner."""


STARTING = 3600.0
"""The same for a run that a worker has taken, and that has not begun: a machine for it may have to be started."""


@contextmanager
def beating() -> Iterator[None]:
    """Within the block, the current flow run beats."""
    over, mine = threading.Event(), UUID(str(flow_run.id))
    thread = threading.Thread(target=_beat, args=(mine, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(flow_run_id: UUID, over: threading.Event) -> None:
    count = 0
    while True:
        count += 1
        with suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
            client.update_flow_run_labels(flow_run_id, {LABEL: count})
        if over.wait(BEAT):
            return


class Listener:
    """Listens to one flow run."""

    def __init__(self) -> None:
        self._last: object = None
        self._since = time.monotonic()

    def silent(self, run: FlowRun) -> bool:
        """Whether `run`, as the server has it now, is under way and has not beaten for so long that it is dead."""
        state = run.state
        beat = (run.labels.get(LABEL), run.run_count, state and state.id)
        if beat != self._last or state is None or state.is_scheduled():
            self._last, self._since = beat, time.monotonic()
        return time.monotonic() - self._since > (STARTING if state and state.is_pending() else SILENCE)
