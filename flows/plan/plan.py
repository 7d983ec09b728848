"""`temper plan`: what a run would do and why, without doing it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from flows.bridge import StageStatus, survey

Verdict = Literal["unchanged", "restored", "run", "restored or run"]

WORDS: dict[Verdict, str] = {
    "unchanged": "unchanged",
    "restored": "would be restored",
    "run": "would run",
    "restored or run": "would be restored, or run",
}


@dataclass(frozen=True)
class Step:
    """What would become of one stage."""

    stage: str
    verdict: Verdict
    reasons: tuple[str, ...]


def plan() -> list[Step]:
    """The stages in run order. Below a stage that would run, nobody knows yet whether its outputs will differ.

    Example:

        print(as_text(plan()))
    """
    steps: dict[str, Step] = {}
    notes: list[str] = []
    for status in survey(notes.append, look_up=True):
        steps[status.name] = _step(status, [steps[name] for name in status.after])
    return list(steps.values())


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
    """The plan for programs: `[{"stage", "verdict", "reasons"}]`."""
    return [asdict(step) for step in steps]


def as_text(steps: list[Step]) -> str:
    """The plan for a person: a line a stage, its reasons below it."""
    width = max((len(step.stage) for step in steps), default=0)
    lines = []
    for step in steps:
        lines.append(f"{step.stage.ljust(width)}  {WORDS[step.verdict]}")
        lines += [f"{' ' * width}    {reason}" for reason in step.reasons]
    return "\n".join(lines)
