"""Watch a training run: progress, the loss curve, the manifest of each checkpoint, and a stop at the first bad step."""

import csv
import io
import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tasks.contract.errors import CheckFailed
from tasks.contract.progress import reporter
from tasks.train import checkpoints, launch

COLUMNS = ("step", "loss", "learning_rate", "grad_norm", "eval_loss")

REWARD = ("reward", "objective/scores")
"""What trl calls the mean reward of answers; where there is one, it is another column, reward."""

ALIKE = "frac_reward_zero_std"
"""What trl calls the share of prompts whose answers were all worth the same, from which nothing is learned."""


class Watch(TrainerCallback):  # type: ignore[misc]
    """Called by the trainer at each log, checkpoint and end."""

    def __init__(self, what: str, steps: int) -> None:
        self.report = reporter(what, steps, "steps")
        self.what = what
        self.shown: dict[str, float] = {}
        self.learned = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Whether there ever was a gradient; a run that goes on has the log of what was before."""
        self.learned = any(entry.get("grad_norm") for entry in state.log_history)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.report(state.global_step, **self.shown)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Stop where the loss is no number or nothing is learned yet; keep the latest figures for the progress bar."""
        logs = logs or {}
        for name in ("loss", "grad_norm", "eval_loss"):
            if name not in logs:
                continue
            value = float(logs[name])
            if not math.isfinite(value):
                raise CheckFailed(
                    f"{self.what}: {name} is {value} at step {state.global_step}; "
                    f"lower {self.what}.learning_rate, or lengthen {self.what}.warmup_steps."
                )
            self.shown[name] = value
        for name in REWARD:
            if name in logs:
                self.shown["reward"] = float(logs[name])
        if "grad_norm" not in logs or ALIKE in logs:
            return
        self.learned |= float(logs["grad_norm"]) > 0
        if not self.learned:
            raise CheckFailed(
                f"{self.what}: the gradient is zero at step {state.global_step}: no weight learns. "
                f"Check what {self.what}.method and the keys below it tune."
            )

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        launch.wait()  # every process has written its part
        if not launch.rank():
            checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def curve(history: list[dict[str, Any]]) -> str:
    """The trainer's log history as CSV with the columns `COLUMNS`, a line a step; empty where there is no value."""
    points: dict[int, dict[str, Any]] = {}
    for entry in history:
        step = entry["step"]
        for name in COLUMNS[1:]:
            if name in entry:
                points.setdefault(step, {"step": step})[name] = repr(float(entry[name]))
        for name in REWARD:
            if name in entry:
                points.setdefault(step, {"step": step})["reward"] = repr(float(entry[name]))
    rewarded = ("reward",) if any("reward" in point for point in points.values()) else ()
    text = io.StringIO()
    table = csv.DictWriter(text, (*COLUMNS, *rewarded), lineterminator="\n")
    table.writeheader()
    table.writerows(points[step] for step in sorted(points))
    return text.getvalue()
