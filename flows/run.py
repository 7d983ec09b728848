"""One run: what was asked of DVC at its start, what became of each stage, and the processes that work for it."""

import logging
import threading
from types import TracebackType
from typing import Any, Self

from flows.artifacts import Bars
from flows.child import Children, Command
from flows.keys import with_keys
from flows.machine import at_once
from flows.stage import Need, Outcome, bring
from flows.watch import watcher
from tasks.contract.errors import InputError, StageFailed, TemperError, advice


class Run:
    """A context: when its block ends by an error or a signal, the stages' processes are ended too."""

    def __init__(self, needs: list[Need], force: list[str], jobs: int | None = None) -> None:
        """Take the survey `needs`; `force` names stages to run in any case; `jobs` work at once, at most."""
        self.needs = needs
        self.outcomes: dict[str, Outcome] = {}
        self.failures: dict[str, str] = {}
        """Stage -> the sentence that says why it failed."""
        self._needs = {need.name: need for need in needs}
        self._force = force
        self._children = Children()
        self._bars = Bars()
        self._slots = threading.BoundedSemaphore(jobs or at_once())
        self._watcher = watcher()
        if unknown := [name for name in force if name not in self._needs]:
            raise InputError(f"no stage is called {', '.join(unknown)}; there are: {', '.join(self._needs)}.")
        self._watcher.planned(needs)

    def bring(self, name: str, log: "logging.Logger | logging.LoggerAdapter[logging.Logger]") -> Outcome:
        """Make one stage current. While nothing above it moved, the survey stands; else DVC is asked again."""
        need = self._needs[name]
        above = all(self.outcomes[other].how == "unchanged" for other in need.after)
        try:
            if above and not need.reasons and name not in self._force:
                outcome = Outcome(name, "unchanged", (), need.outs, 0.0)
            else:
                outcome = bring(name, lambda command: self._work(command, log), force=name in self._force)
        except Exception as error:
            self.failures[name] = _sentence(name, error)
            self._watcher.failed(name, self.failures[name])
            raise
        self.outcomes[name] = outcome
        self._watcher.finished(outcome)
        return outcome

    @property
    def moved(self) -> bool:
        """Whether any stage ran or was restored."""
        return any(outcome.how != "unchanged" for outcome in self.outcomes.values())

    def check(self) -> None:
        """Raise `StageFailed` with what the failed stages said, or where one has not ended at all."""
        if self.failures:
            raise StageFailed("\n".join(self.failures.values()))
        if left := [need.name for need in self.needs if need.name not in self.outcomes]:
            raise StageFailed(f"{', '.join(left)} did not end; the log of the flow run has the reason. Run again.")

    def _work(self, command: Command, log: Any) -> float:
        with self._slots:
            log.info("> %s", command.text)
            self._watcher.started(command.stage)

            def progress(state: dict[str, Any]) -> None:
                self._watcher.progressed(command.stage, state)
                self._bars.show(command.stage, state)

            return self._children.run(with_keys(command), log.info, progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._children.stop()  # a signal reaches the main thread only; the stages' threads wait for their children
        self._bars.close()


def _sentence(stage: str, error: Exception) -> str:
    """Why a stage failed, for people."""
    if isinstance(error, TemperError):
        return str(error)
    if isinstance(error, OSError):
        return f"{stage}: {advice(error)}"
    return f"{stage}: {type(error).__name__}: {error} (this was not foreseen; the log of the flow run has more)."
