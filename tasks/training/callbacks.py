"""Watch a training run: progress, the loss curve, the manifest of each checkpoint, and a stop at the first bad step."""

import math
import statistics
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tasks.core.errors import CheckFailed
from tasks.core.numbers import shown
from tasks.core.progress import reporter
from tasks.training import checkpoints, distributed
from tasks.training.loss_curve import REWARD
from tasks.training.settings import Optimization

LAST, BEFORE, FEWEST = 3, 20, 5
"""Logged losses in a row that are a spike; those before them, at most and at least, that say what is usual."""

NAT = 1.0
"""Nats that are no spike however even the losses were."""

ALIKE = "frac_reward_zero_std"
"""What trl calls the share of prompts whose answers were all worth the same, from which nothing is learned."""


class MonitorCallback(TrainerCallback):  # type: ignore[misc]
    """Called by the trainer at each log, checkpoint and end."""

    def __init__(self, what: str, settings: Optimization) -> None:
        self.report = reporter(what, settings.step_count, "steps")
        self.what = what
        self.max_spike = settings.max_spike
        self.shown: dict[str, float] = {}
        self.measured = 0
        """The step of what is shown."""
        self.reported = 0
        """The last step that was reported."""
        self.learned = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Whether there ever was a gradient; a run that goes on has the log of what was before."""
        self.learned = any(entry.get("grad_norm") for entry in state.log_history)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not control.should_log:  # else it is reported with what will be logged
            self._tell(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.reported != state.global_step:
            self._tell(state.global_step)

    def _tell(self, step: int) -> None:
        """Report `step`. The figures of the first one, logged alone, are not those of the steps until the next line."""
        self.reported = step
        self.report(step, **({} if self.measured == 1 < step else self.shown))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Stop where the loss is not a number or nothing is learned yet; keep the latest figures for the bar."""
        logs = logs or {}
        if "loss" in logs:
            self.measured = state.global_step
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
        if "loss" in logs and self.max_spike:
            self._spike(state, self.max_spike)
        for name in REWARD:
            if name in logs:
                self.shown["reward"] = float(logs[name])
        if "loss" in logs:
            self._tell(state.global_step)
        if "grad_norm" not in logs or ALIKE in logs:
            return
        self.learned |= float(logs["grad_norm"]) > 0
        if not self.learned:
            raise CheckFailed(
                f"{self.what}: the gradient is zero at step {state.global_step}, so no weight is trained. Check "
                f"{self.what}.method and the keys below it."
            )

    def _spike(self, state: Any, threshold: float) -> None:
        """Stop where the loss has jumped; a run that goes on has the losses of what was before."""
        losses = [float(entry["loss"]) for entry in state.log_history if "loss" in entry]
        usual, now = losses[-BEFORE - LAST : -LAST], losses[-LAST:]
        if len(usual) < FEWEST:
            return
        mean = statistics.fmean(usual)
        if min(now) > mean + max(NAT, threshold * statistics.pstdev(usual)):
            shown_losses = ", ".join(f"{shown(loss)}" for loss in now)
            raise CheckFailed(
                f"{self.what}: the loss has jumped: the last {LAST} logged values are {shown_losses} at step "
                f"{state.global_step}, after {shown(mean)} on average; checkpoints are kept. Lower "
                f"{self.what}.learning_rate or {self.what}.max_grad_norm, lengthen {self.what}.warmup_steps, check the "
                f"rows, or set {self.what}.max_spike to null."
            )

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        distributed.wait()  # every process has written its part
        if not distributed.rank():
            checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
