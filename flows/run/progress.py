"""How far running stages are, live in the Prefect UI: a progress bar each and, of what learns, its loss curve."""

import threading
import time
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any
from uuid import UUID

import httpx
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import PrefectException

from tasks.charts.line import line_chart
from tasks.core.numbers import shown
from tasks.core.progress import described

EVERY = 5.0
"""Seconds between two updates of a progress bar in the UI: each is a request to the server."""

DRAWN = 15.0
"""Seconds between two pictures of a curve."""

MOST = 300
"""Points of a line in a live picture; of more, every other one is left out."""

CURVES = {"train": "loss", "align": "alignment"}
"""Stages whose curve is shown again, whole, when the run ends: under this key."""

NAMES = {"loss": "training", "eval_loss": "validation", "reward": "reward"}
"""Figures of a stage that make a line, with its name."""

Lines = dict[str, list[tuple[float, float]]]


class Bars:
    """Bars and curves in the UI, drawn by a thread of their own: no stage waits for them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.pictures: dict[str, UUID] = {}
        """Artifacts of curves by their keys, so that who has the whole curve puts it in their place."""
        self._bars: dict[str, UUID] = {}
        self._lines: dict[tuple[str, str], Lines] = {}
        self._last: dict[tuple[str, str], float] = {}
        self._clock = clock
        self._work: SimpleQueue[tuple[Context, Callable[[], None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._thread.start()

    def show(self, stage: str, state: dict[str, Any]) -> None:
        """Show `{"what", "done", "total", "unit", "left", "figures"}` of a stage.

        Its bar changes every `EVERY` seconds at most, its curve every `DRAWN`, and both at its end.
        """
        share = 100.0 * state["done"] / max(state["total"], 1)
        if self._due(("bar", stage), EVERY) or share >= 100.0:
            text = f"{state['what']}: {described(state)} ({share:.0f} %)"
            self._put(lambda: self._bar(stage, share, text))
        lines = self._lines.setdefault((stage, state["what"]), {})
        grown = add_points(lines, state)
        if lines and (share >= 100.0 or (grown and self._due(("curve", stage), DRAWN))):
            drawn = {name: list(points) for name, points in lines.items()}
            self._put(lambda: self._curve(stage, state, drawn))

    def close(self) -> None:
        """Give the last states a moment to arrive."""
        self._work.put(None)
        self._thread.join(EVERY)

    def _due(self, what: tuple[str, str], pause: float) -> bool:
        now = self._clock()
        if now - self._last.get(what, -pause) < pause:
            return False
        self._last[what] = now
        return True

    def _put(self, work: Callable[[], None]) -> None:
        self._work.put((copy_context(), work))  # the context says to Prefect which task run it is

    def _draw(self) -> None:
        while (item := self._work.get()) is not None:
            context, work = item
            try:
                context.run(work)
            except (httpx.HTTPError, PrefectException):
                return  # the server is gone; the flow will say so

    def _bar(self, stage: str, share: float, text: str) -> None:
        if stage in self._bars:
            update_progress_artifact(self._bars[stage], progress=share, description=text)
        else:
            key = _key(f"progress-{stage}")
            self._bars[stage] = _id(create_progress_artifact(progress=share, key=key, description=text))

    def _curve(self, stage: str, state: Mapping[str, Any], lines: Lines) -> None:
        text = f"{picture(lines)}\n\n{state['what']}: {described(state)}."
        show_markdown(self.pictures, CURVES.get(stage) or _key(f"loss-{stage}"), text, "Loss, or reward, by step.")


def add_points(lines: Lines, state: Mapping[str, Any]) -> bool:
    """Put the figures of `state` on their lines; whether that changed one.

    A stage tells the last loss with each step, and has a new one now and then.
    """
    grown = False
    for figure, value in (state.get("figures") or {}).items():
        if (name := NAMES.get(figure)) is None:
            continue
        points = lines.setdefault(name, [])
        if not points or points[-1][1] != value:
            points.append((float(state["done"]), float(value)))
            grown = True
        if len(points) > MOST:
            del points[1:-1:2]
    return grown


def picture(lines: Lines) -> str:
    """Markdown with a curve of `lines`, and the last values: of rewards where there are some, for then the loss says
    nothing.
    """
    lines = {"reward": lines["reward"]} if "reward" in lines else lines
    what = "reward" if "reward" in lines else "loss"
    last = ", ".join(f"{name} {shown(points[-1][1])}" for name, points in lines.items())
    return f"{line_chart(lines, 'step', what, f'{what} curve').markdown()}\n\nLast: {last}."


def show_markdown(known: dict[str, UUID], key: str, text: str, description: str) -> None:
    """Show `text` under `key`: in the place of what this run shows there, by its id in `known`, or as the first."""
    if key in known:
        with get_client(sync_client=True) as client:
            client.update_artifact(known[key], ArtifactUpdate(data=text, description=description))
    else:
        known[key] = _id(create_markdown_artifact(key=key, markdown=text, description=description))


def _key(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def _id(created: Any) -> UUID:
    """The id that Prefect returns; typed as a coroutine too, which it is for asynchronous callers."""
    assert isinstance(created, UUID)
    return created
