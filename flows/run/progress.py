"""Progress bars of running stages in the Prefect UI."""

import threading
import time
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

EVERY = 5.0
"""Seconds between two updates of a progress bar in the UI: each is a request to the server."""


class Bars:
    """Progress bars in the UI, one for each running stage, drawn by a thread of their own: no stage waits for them."""

    def __init__(self) -> None:
        self._bars: dict[str, Any] = {}
        self._last: dict[str, float] = {}
        self._states: SimpleQueue[tuple[Context, str, float, str] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._thread.start()

    def show(self, stage: str, state: dict[str, Any]) -> None:
        """Show `{"what", "done", "total", "unit", "figures"}` of a stage, at most every `EVERY` seconds."""
        now, share = time.monotonic(), 100.0 * state["done"] / max(state["total"], 1)
        if now - self._last.get(stage, -EVERY) < EVERY and share < 100.0:
            return
        self._last[stage] = now
        figures = ", ".join(f"{name} {value:.4g}" for name, value in state.get("figures", {}).items())
        text = f"{state['what']}: {state['done']} of {state['total']} {state['unit']}. {figures}"
        self._states.put((copy_context(), stage, share, text))  # the context says to Prefect which task run it is

    def close(self) -> None:
        """Give the last states a moment to arrive."""
        self._states.put(None)
        self._thread.join(EVERY)

    def _draw(self) -> None:
        while (state := self._states.get()) is not None:
            context, stage, share, text = state
            try:
                context.run(self._put, stage, share, text)
            except (httpx.HTTPError, PrefectException):
                return  # the server is gone; the flow will say so

    def _put(self, stage: str, share: float, text: str) -> None:
        if stage in self._bars:
            update_progress_artifact(self._bars[stage], progress=share, description=text)
        else:
            key = "".join(letter if letter.isalnum() else "-" for letter in f"progress-{stage}".lower())
            self._bars[stage] = create_progress_artifact(progress=share, key=key, description=text)
