"""The rule by which a sweep ends a trial early, and the loss that it goes by."""

import csv
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.core.errors import StageFailed
from tasks.core.numbers import shown
from tasks.core.paths import PATHS

LOSS = PATHS.loss(PATHS.fitted)

STOPPED = "Stopped"
"""The state of a run that was given up."""

SHARE = 0.5
"""Part of the training after which a trial is judged."""


class Pruned(StageFailed):
    """A stage on another machine was given up by the rule."""


class PruningRule(BaseModel):
    """A trial whose training loss, half way, is above what others had there."""

    loss: float
    """The highest training loss that goes on."""

    def judge(self, stage: str, state: dict[str, Any]) -> str:
        """Why the trial ends early at the progress `state` of `stage`, as a sentence; "" where it is not."""
        loss = state.get("figures", {}).get("loss")
        if stage != "train" or loss is None or state["done"] < SHARE * state["total"] or loss <= self.loss:
            return ""
        return (
            f"train was stopped by the sweep: at {state['done']} of {state['total']} {state['unit']} its loss is "
            f"{shown(loss)}, above {shown(self.loss)}, the median of earlier trials."
        )


def half_way(path: Path = LOSS) -> float | None:
    """The training loss after half of the steps; None where `path` does not say."""
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        points = [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(file) if row.get("loss")]
    return next((loss for step, loss in points if step >= SHARE * points[-1][0]), None)
