"""A Prefect server that is away, or overburdened, for a while: what is asked of it is asked again.

Prefect's clients do so themselves, but only once they have been connected, and most calls make a client of their own.
"""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

import httpx
from prefect.settings import get_current_settings

from tasks.core.errors import Unavailable

Answer = TypeVar("Answer")

PAUSE = 1.0
"""Seconds between two tries."""


def retry(ask: Callable[[], Answer], wait: Callable[[], None] = lambda: None, patience: float | None = None) -> Answer:
    """What `ask` returns; again where the server is away or fails, as long as Prefect's own clients would try.

    `wait` is called before each new try, and may raise. With `patience` it is so many seconds. Raises `Unavailable` in
    the end.

    Example:

        deployments = retry(client.read_deployments)
    """
    if patience is None:  # the sum of their waits: 2 + 4 + 8 ... seconds
        patience = 2.0 ** (get_current_settings().client.max_retries + 1)
    end = monotonic() + patience
    while True:
        try:
            return ask()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if isinstance(error, httpx.HTTPStatusError) and not error.response.is_server_error:
                raise
            if monotonic() > end:
                raise Unavailable(
                    f"the Prefect server did not answer for {patience:.0f} s ({type(error).__name__}); "
                    "finished stages are kept: start the run again when the server answers."
                ) from error
        wait()
        sleep(PAUSE)
