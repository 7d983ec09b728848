"""What training was estimated to take and took, kept in data/prices: for the next estimate, and for a run's page.

No stage reads or writes it as an output, for seconds and memory differ from run to run.
"""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.training.estimate import items
from tasks.training.launch import world
from tasks.training.schedule import resolved
from tasks.training.settings import Optimization

WITHOUT_EFFECT = {
    "enabled", "steps", "epochs", "batch_size", "gradient_accumulation", "learning_rate", "scheduler", "warmup_steps",
    "seed", "adam_beta2", "weight_decay", "max_grad_norm", "max_spike", "logging_steps", "checkpoint_steps",
    "eval_steps", "patience", "max_start", "samples",
}  # fmt: skip
"""Settings that do not change, or hardly, how long a row takes."""


@dataclass(frozen=True)
class Amounts:
    """What a training needs, or took."""

    memory: int
    """Bytes at one time."""
    disk: int
    """Bytes of checkpoints and result at one time."""
    seconds: float | None
    """From the beginning of the first step to the end of the last; None where too few steps say nothing."""


@dataclass(frozen=True)
class Usage:
    """Both; `items` (rows, packs, pairs, answers) were trained on in those seconds."""

    estimated: Amounts
    used: Amounts
    items: int
    step: float | None
    """Seconds of a step, one of the first."""


def usage_file(paths: Paths, what: str) -> Path:
    """The file about the stage `what`."""
    return paths.data / "prices" / f"{what}.json"


def passes_file(paths: Paths, what: str) -> Path:
    """The file about the memory of its passes; see `tasks.training.kept_passes`."""
    return usage_file(paths, f"{what}.passes")


def save(paths: Paths, what: str, settings: Optimization, usage: Usage, out: Path | None = None) -> None:
    """Keep `usage` as that of the last training of the stage `what`, whose result lies in `out`, if it is kept."""
    values = asdict(usage)
    values["foretold"] = values.pop("estimated")  # as the files of earlier runs have it
    values["used"]["disk"] += folder_size(out) if out else 0
    write_json(usage_file(paths, what), {**values, "like": conditions(paths, settings)})


def remove(paths: Paths, what: str) -> None:
    """Remove what was kept of the stage `what`, which has run without training."""
    usage_file(paths, what).unlink(missing_ok=True)


def load(paths: Paths, what: str) -> dict[str, Any]:
    """What was kept; empty where nothing is."""
    try:
        values: dict[str, Any] = json.loads(usage_file(paths, what).read_text())
    except (OSError, ValueError):
        return {}
    return values


def estimate_seconds(paths: Paths, what: str, settings: Optimization) -> float | None:
    """How long training by `settings` will take, as the last one that was like it did; None where there is none."""
    last = load(paths, what)
    if not last or last["like"] != conditions(paths, settings) or not last["used"]["seconds"]:
        return None
    if settings.steps is None:
        count = items(paths.audit) if what == "train" else None
        if count is None:
            return None
        settings = resolved(what, settings, count)
    trained = settings.step_count * settings.batch_size * settings.gradient_accumulation * world(settings)
    return float(last["used"]["seconds"] / last["items"] * trained)


def conditions(paths: Paths, settings: Optimization) -> dict[str, Any]:
    """What has to be the same for an item to take as long: machine, base, rows, and most of the settings."""
    try:
        base = json.loads((paths.base / "base.json").read_text())["sha256"]
    except (OSError, ValueError, KeyError):
        base = None
    return {
        "machine": describe_machine(),
        "base": base,
        "rows": {str(file.relative_to(paths.templated)): file.stat().st_size for file in _rows(paths)},
        "settings": settings.model_dump(mode="json", exclude=WITHOUT_EFFECT),
    }


def _rows(paths: Paths) -> list[Path]:
    return sorted(paths.templated.rglob("train.arrow"))


def describe_machine() -> dict[str, Any]:
    """Processor, cores and graphics cards of this machine, without a library that would have to be loaded."""
    models = _lines(Path("/proc/cpuinfo"), "model name")
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    cards = [line for file in files for line in _lines(file, "Model")]
    return {"processor": models[0] if models else platform.processor(), "cores": os.cpu_count(), "cards": cards}


def _lines(file: Path, name: str) -> list[str]:
    """Values of the lines `name: value` of a file of the kernel."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name]


def folder_size(folder: Path) -> int:
    """Bytes of the files in `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
