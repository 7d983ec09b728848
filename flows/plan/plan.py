"""`temper plan`: what a run would do and why, without doing it."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from flows.bridge import StageStatus, survey
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS
from tasks.core.settings import read

if TYPE_CHECKING:
    from flows.run.policies import Operation

Verdict = Literal["unchanged", "restored", "run", "restored or run"]

WORDS: dict[Verdict, str] = {
    "unchanged": "unchanged",
    "restored": "would be restored",
    "run": "would run",
    "restored or run": "would be restored, or run",
}

ABOUT = ("stage", "verdict", "reasons")
"""Fields of every step."""


@dataclass(frozen=True)
class Step:
    """What would become of one stage."""

    stage: str
    verdict: Verdict
    reasons: tuple[str, ...]
    queue: str | None = None
    """The work queue whose worker runs it in a deployed run; None: it runs where the run does."""
    worker: bool | None = None
    """Whether a worker of that queue is at work; None where no server says."""


def plan(tell: Callable[[str], None] = lambda line: None) -> list[Step]:
    """The stages in run order. Below a stage that would run, nobody knows yet whether its outputs will differ.

    `tell` hears which inputs were edited since they were added, and what of DVC's cache is damaged.

    Example:

        print(as_text(plan()))
    """
    steps: dict[str, Step] = {}
    for status in survey(tell, look_up=True):
        steps[status.name] = _step(status, [steps[name] for name in status.after])
    return list(steps.values())


def asked(steps: list[Step]) -> list[Step]:
    """The steps, `placed` as infra/stages.yaml says, and as the server does that commands talk to."""
    if not (PATHS.policies.is_file() and read(PATHS.policies, "safe").get("queues")):
        return steps  # without Prefect, which takes its time to load
    from flows.deploy import deployments
    from flows.run.policies import operation

    try:
        deployments.server()
    except MachineError:
        return placed(steps, operation(), None)
    return placed(steps, operation(), deployments.served)


def placed(steps: list[Step], operation: "Operation", served: Callable[[str], bool] | None) -> list[Step]:
    """The steps with the queue of each that would, or may, run its command, as `operation` says.

    `served` tells whether a worker of a queue is at work, and is asked once for each; None where no server answers.
    """
    worker = cache(served) if served else lambda queue: None
    return [
        replace(step, queue=queue, worker=worker(queue))
        if "run" in step.verdict and (queue := operation.of(step.stage).queue)
        else step
        for step in steps
    ]


def _step(status: StageStatus, above: list[Step]) -> Step:
    moving = [step for step in above if step.verdict != "unchanged"]
    verdicts = {step.verdict for step in moving}
    if "run" in verdicts:
        verdict: Verdict = "run"
    elif "restored or run" in verdicts or status.uncertain:
        verdict = "restored or run"
    elif not status.reasons:
        return Step(status.name, "unchanged", ())
    else:
        verdict = "restored" if status.restorable else "run"
    return Step(status.name, verdict, status.reasons or tuple(_below(moving)))


def _below(moving: list[Step]) -> Iterator[str]:
    for verdict, words in WORDS.items():
        if names := [step.stage for step in moving if step.verdict == verdict]:
            yield f"it needs {', '.join(names)}, which {words}"


def as_json(steps: list[Step]) -> list[dict[str, object]]:
    """The plan for programs: `[{"stage", "verdict", "reasons"}]`, with `queue` and `worker` where it has a queue."""
    return [{key: value for key, value in asdict(step).items() if step.queue or key in ABOUT} for step in steps]


def as_text(steps: list[Step]) -> str:
    """The plan for a person: a line a stage, its reasons below it; those of several in a row once, below the last."""
    width = max((len(step.stage) for step in steps), default=0)
    lines = []
    for reasons, alike in groupby(steps, key=lambda step: step.reasons):
        names = [f"{step.stage.ljust(width)}  {WORDS[step.verdict]}{_where(step)}" for step in alike]
        whose = f"each of these {len(names)}: " if len(names) > 1 else ""
        lines += [*names, *(f"{' ' * width}    {whose}{reason}" for reason in reasons)]
    return "\n".join(lines)


def _where(step: Step) -> str:
    if step.queue is None:
        return ""
    start = f"temper worker --queue {step.queue}"
    state = {True: "one is running", False: f"none is running: {start}", None: "no server answers to ask"}
    return f"; in a deployed run by a worker of the queue {step.queue} ({state[step.worker]})"
