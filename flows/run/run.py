"""One run: what was asked of DVC at its start, what became of each stage, and the processes that work for it."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from flows.bridge import Outcome, StageStatus, chosen, ensure_current
from flows.run.observer import observer
from flows.run.policies import Operation
from flows.run.progress import Bars
from flows.run.pruning import Pruned, PruningRule
from flows.run.secrets import with_secrets
from flows.system.process import GRACE, Children, Command
from flows.system.resources import at_once
from tasks.core.errors import StageFailed, TemperError, Unavailable, advice

if TYPE_CHECKING:
    from uuid import UUID

    from flows.run.elsewhere import Elsewhere


class Run:
    """A context: when its block ends by an error or a signal, the stages' processes are ended too.

    Example:

        statuses = survey()
        with Run(statuses, force=[]) as run:
            for status in statuses:
                run.ensure_current(status.name, log)
        run.check()
    """

    def __init__(
        self,
        statuses: list[StageStatus],
        force: list[str],
        jobs: int | None = None,
        operation: Operation | None = None,
        pruning: PruningRule | None = None,
        elsewhere: "Elsewhere | None" = None,
    ) -> None:
        """Take the survey `statuses`; `force` names stages to run in any case; `jobs` work at once, at most.

        `operation` says how stages are carried out, `pruning` when a training is not worth its end. With `elsewhere`
        the workers of queues run the stages that are for them, else this process does.
        """
        self.operation = operation or Operation()
        self.pruned = ""
        """Why the run was given up; "" where it was not."""
        self._rule = pruning
        self._elsewhere = elsewhere
        self.statuses = statuses
        self.outcomes: dict[str, Outcome] = {}
        self.failures: dict[str, str] = {}
        """Stage -> the sentence that says why it failed."""
        self._status_of = {status.name: status for status in statuses}
        self._force = chosen(statuses, force)
        self._children = Children()
        self._training = False
        """Whether what runs takes optimiser steps, the last of which it may have to write down at its end."""
        self._bars = Bars()
        self._slots = threading.BoundedSemaphore(jobs or at_once())
        self._observer = observer()
        self._observer.planned(statuses)

    def ensure_current(self, name: str, log: "logging.Logger | logging.LoggerAdapter[logging.Logger]") -> Outcome:
        """Make one stage current. While nothing above it moved, the survey stands; else DVC is asked again."""
        status = self._status_of[name]
        above = all(self.outcomes[other].how == "unchanged" for other in status.after)
        try:
            if above and not status.reasons and name not in self._force:
                outcome = Outcome(name, "unchanged", (), status.outs, 0.0)
            else:
                share = self.operation.share
                outcome = ensure_current(
                    name,
                    lambda command: self._work(command, log),
                    force=name in self._force,
                    sources=status.sources,
                    wait=lambda: self._children.check(name),
                    tell=lambda line: self._tell(line, log),
                    remote=(share.dvc or "") if share else None,
                    elsewhere=self._by_queue(name, log),
                )
        except Exception as error:
            self.failures[name] = _sentence(name, error)
            self._observer.failed(name, self.failures[name])
            raise
        self.outcomes[name] = outcome
        self.failures.pop(name, None)  # of an earlier try
        self._observer.finished(outcome)
        return outcome

    @property
    def pictures(self) -> "dict[str, UUID]":
        """The curves that the UI shows of this run, by key."""
        return self._bars.pictures

    @property
    def moved(self) -> bool:
        """Whether any stage ran or was restored."""
        return any(outcome.how != "unchanged" for outcome in self.outcomes.values())

    @property
    def failed(self) -> bool:
        """Whether a stage failed or did not end."""
        return bool(self.failures) or len(self.outcomes) < len(self.statuses)

    def check(self) -> None:
        """Raise `StageFailed` with what the failed stages said, or where one has not ended at all."""
        if self.failures:
            raise StageFailed("\n".join(self.failures.values()))
        if left := [status.name for status in self.statuses if status.name not in self.outcomes]:
            raise StageFailed(f"{', '.join(left)} did not finish; the log of the flow run says why. Run again.")

    def _tell(
        self, line: str, log: "logging.Logger | logging.LoggerAdapter[logging.Logger]", level: int = logging.WARNING
    ) -> None:
        log.log(level, "%s", line)
        self._observer.message(line)

    def _by_queue(self, name: str, log: Any) -> Callable[[str], float] | None:
        """What has a worker of another machine run the stage, by its key; None where it runs here.

        It takes no slots here: those are of the machine that works.
        """
        machines, queue, force = self._elsewhere, self.operation.of(name).queue, name in self._force
        if machines is None or queue is None:
            return None

        def run(key: str) -> float:
            self._observer.started(name)
            wait = partial(self._children.check, name)
            work = partial(machines.run, name, key, queue, wait, force=force, pruning=self._rule)
            try:
                return self._tried(name, log, work)
            except Pruned as error:
                self.pruned = str(error)
                self._children.stop()
                raise

        return run

    def _work(self, command: Command, log: Any) -> float:
        stage = command.stage
        with self.operation.slots(stage, lambda: self._children.check(stage), log.info), self._slots:
            log.debug("> %s", command.text)
            self._observer.started(stage)

            def progress(state: dict[str, Any]) -> None:
                self._observer.progressed(stage, state)
                self._bars.show(stage, state)
                self._training = state["unit"] == "steps" and state["done"] < state["total"]
                if self._rule and (why := self._rule.judge(stage, state)):
                    self.pruned = why
                    self._children.stop()

            tell = partial(self._tell, log=log, level=logging.INFO)
            try:
                ready, timeout = with_secrets(command), self.operation.of(stage).timeout
                return self._tried(stage, log, partial(self._children.run, ready, log.info, progress, timeout, tell))
            except StageFailed:
                if self.pruned:
                    raise StageFailed(self.pruned) from None
                raise

    def _tried(self, stage: str, log: Any, work: Callable[[], float]) -> float:
        """Call `work`, again where the reason of its failure may pass.

        Not a matter of Prefect's retries: those sleep through a cancellation.
        """
        policy = self.operation.of(stage)
        for number in range(policy.retries):
            try:
                return work()
            except Unavailable as error:
                delay = policy.delay * 2**number
                log.warning("%s: try %d of %d in %g s: %s", stage, number + 2, policy.retries + 1, delay, error)
                self._children.pause(stage, delay)
        return work()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            if self._training:
                self._observer.message(f"Stopping: a training has {GRACE:g} s to write a checkpoint.")
            self._children.stop()  # a signal reaches the main thread only; the stages' threads wait for their children
        self._bars.close()


def _sentence(stage: str, error: Exception) -> str:
    """Why a stage failed, for people."""
    if isinstance(error, TemperError):
        return str(error)
    if isinstance(error, OSError):
        return f"{stage}: {advice(error)}"
    return f"{stage}: {type(error).__name__}: {error} (unexpected; see the log of the flow run)."
