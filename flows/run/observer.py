"""Who wants to know what a run does: the terminal of the person who started it. A deployed run has no observer."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from flows.bridge import Outcome, StageStatus


class Observer:
    """What happens in a run, as it happens; called from the threads of the stages. This one looks away."""

    def planned(self, statuses: list[StageStatus]) -> None:
        """The stages in run order, with what changed."""

    def message(self, line: str) -> None:
        """Something about the whole run that a person should know."""

    def started(self, stage: str) -> None:
        """The stage's command starts."""

    def progressed(self, stage: str, progress: dict[str, Any]) -> None:
        """`{"what", "done", "total", "unit", "figures"}` from the running stage."""

    def finished(self, outcome: Outcome) -> None:
        """The stage is current."""

    def failed(self, stage: str, reason: str) -> None:
        """The stage failed, or was not run because one before it failed."""


_observer: ContextVar[Observer] = ContextVar("observer")


def observer() -> Observer:
    """Whoever watches the current run."""
    return _observer.get(Observer())


@contextmanager
def observed_by(someone: Observer) -> Iterator[None]:
    """Tell `someone` what happens in runs started inside the block."""
    token = _observer.set(someone)
    try:
        yield
    finally:
        _observer.reset(token)
