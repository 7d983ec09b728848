"""The curve of a training as a table: a line a step, empty where nothing was measured at it."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel

from tasks.core.files import write_json, write_text, written

COLUMNS = ("step", "loss", "learning_rate", "grad_norm", "eval_loss")

REWARD = ("reward", "objective/scores")
"""What trl calls the mean reward of answers; where there is one, it is another column, reward."""


PAIRS = {
    f"{split}rewards/{name}": f"{split}{column}"
    for split in ("", "eval_")
    for name, column in {
        "margins": "margin", "accuracies": "accuracy", "chosen": "chosen_reward", "rejected": "rejected_reward",
    }.items()
}  # fmt: skip
"""What trl measures of pairs -> its column: by how much the chosen answer gained on the rejected one, what each of them
gained by itself (nats times beta), and the share of pairs (0 to 1) in which the chosen one gained more; in training,
and on held-out pairs."""


ANSWERS = {
    "kl": "kl", "objective/kl": "kl_of_answer", "kl_coefficient": "kl_coefficient",
    "entropy": "entropy", "objective/entropy": "entropy_of_answer",
    "completions/mean_length": "answer_tokens", "completions/clipped_ratio": "answers_cut",
    "policy_loss": "policy_loss", "value_loss": "value_loss", "explained_variance": "explained_variance",
}  # fmt: skip
"""What is measured of the model's own answers -> its column: the divergence from the reference and the entropy (nats a
token; of online_dpo nats an answer, filled up to the longest of a batch), what the divergence costs, the mean length
(tokens) and the share (0 to 1) that ended at the longest length; of ppo also its two losses and how well the values
told what came (1: all of it)."""

COMPONENT = re.compile(r"rewards/(\d+_\w+)/mean")
"""The mean of one of several rewards, by its place and kind in the settings."""

LAST, ABOVE = 5, 0.01
"""Logged losses of DPO whose mean is looked at, and nats by which it may exceed ln 2."""


def starts_at_ln_2(objective: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the loss of alignment is DPO's own, which begins at ln 2 (Rafailov et al. 2023, equation 7).

    `arguments`: those of trl that params.yaml names. Other losses, and mixtures or smoothings of it, begin elsewhere.
    """
    other = arguments.get("label_smoothing") or arguments.get("loss_weights")
    return objective == "dpo" and arguments.get("loss_type", "sigmoid") == "sigmoid" and not other


def above_start(losses: Sequence[float]) -> float | None:
    """The mean of the last losses where it is above ln 2, which every pair has before the first step; else None.

    Of DPO's loss `sigmoid` alone (Rafailov et al. 2023, arXiv:2305.18290, equation 7).
    """
    mean = fmean(losses[-LAST:]) if losses else 0.0
    return mean if mean > math.log(2) + ABOVE else None


def write_untrained(target: Path, settings: BaseModel) -> None:
    """Write into `target` what a training leaves that was off: its settings, and a curve without points."""
    with written(target) as out:
        out.mkdir()
        write_text(out / "loss.csv", curve([]))
        write_json(out / "settings.json", settings.model_dump(mode="json"))


def curve(history: list[dict[str, Any]]) -> str:
    """The trainer's log history as CSV; of none, the names of the columns alone, as plots want a file."""
    points: dict[int, dict[str, Any]] = {}
    components = _components(history)
    for entry in history:
        step = entry["step"]
        for name in COLUMNS[1:]:
            if name in entry:
                points.setdefault(step, {"step": step})[name] = repr(float(entry[name]))
        for name in REWARD:
            if name in entry:
                points.setdefault(step, {"step": step})["reward"] = repr(float(entry[name]))
        for name, column in {**PAIRS, **ANSWERS, **components}.items():
            if entry.get(name) is not None:
                points.setdefault(step, {"step": step})[column] = repr(float(entry[name]))
    columns = dict.fromkeys(("reward", *components.values(), *PAIRS.values(), *ANSWERS.values()))
    further = [name for name in columns if any(name in point for point in points.values())]
    text = io.StringIO()
    table = csv.DictWriter(text, (*COLUMNS, *further), lineterminator="\n")
    table.writeheader()
    table.writerows(points[step] for step in sorted(points))
    return text.getvalue()


def _components(history: list[dict[str, Any]]) -> dict[str, str]:
    """Each reward's name in the log -> its column, where there are several; one alone is the column reward."""
    names = sorted({name for entry in history for name in entry if COMPONENT.fullmatch(name)})
    if len(names) < 2:
        return {}
    return {name: "reward_" + name.removeprefix("rewards/").removesuffix("/mean") for name in names}
