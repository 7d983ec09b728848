"""How fast training goes: estimated from its first steps, shown, and compared with what it took."""

import time
from pathlib import Path
from statistics import median
from typing import Any

from transformers import TrainerCallback

from tasks.core.numbers import duration, shown
from tasks.training.estimate import KEPT
from tasks.training.usage import folder_size

FIRST, MEASURED = 1, 5
"""Steps that are not measured, since they fill caches; and those that are."""

FORWARD = 1 / 3
"""Share of a step's time that a row of the validation split takes: no backward pass."""


class PaceCallback(TrainerCallback):  # type: ignore[misc]
    """Called by the trainer at each step and checkpoint."""

    def __init__(self, what: str, evaluated: float) -> None:
        """`evaluated`: rows of the validation split that are looked at after each step, on average, for each row
        that is trained on."""
        self.what = what
        self.evaluated = evaluated
        self.step: float | None = None
        """Seconds, of one of those measured; None before there are so many."""
        self.estimated: float | None = None
        """Seconds of all steps; None where there are hardly more than those measured."""
        self.seconds: float | None = None
        """From the beginning to the end of the last step so far."""
        self.start = 0
        self.begun = 0.0
        self.marks: list[float] = []
        self.saved = 0
        self.disk = 0
        """Bytes of checkpoints at one time, at most."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.start, self.begun = state.global_step, time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.perf_counter()
        self.seconds = now - self.begun
        if self.step is not None:
            return
        self.marks.append(now)
        if len(self.marks) < FIRST + MEASURED:
            return
        self.step = median(end - begin for begin, end in zip(self.marks, self.marks[1:], strict=False))
        left = state.max_steps - self.start
        if left > 2 * len(self.marks):
            self.estimated = left * self.step * (1 + FORWARD * self.evaluated)
            print(
                f"{self.what}: {shown(self.step, 2)} s a step; {left:,} steps take about {duration(self.estimated)}",
                flush=True,
            )

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The oldest checkpoint is gone by now, and was there while the newest one was written."""
        self.saved += 1
        newest = folder_size(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self.disk = max(self.disk, folder_size(Path(args.output_dir)) + (newest if self.saved >= KEPT else 0))
