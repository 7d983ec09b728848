"""Some steps of the stage `train`, to know how long all of them will take; what they train is thrown away.

    python -m tasks.train.probe

In: as for the stage. Out: `data/prices/train.json`, as the last training of the stage would have left it.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.core.paths import Paths
from tasks.core.reporting import guarded
from tasks.core.settings import PARAMS, load
from tasks.train.settings import Settings
from tasks.training import usage
from tasks.training.launch import Launch
from tasks.training.settings import Samples


def sample(settings: Settings, paths: Paths) -> None:
    """Train a few steps by `settings`, without checkpoint and evaluation, in one process, and keep what they took."""
    from tasks.train import run
    from tasks.training import pace

    steps = pace.FIRST + pace.MEASURED
    never = {"checkpoint_steps": steps + 1, "eval_steps": steps + 1, "patience": None, "samples": Samples()}
    few = settings.model_copy(update={"steps": steps, "launch": Launch(), **never})
    with TemporaryDirectory(prefix="temper-") as scratch:
        took = run.train_rows(few, paths, Path(scratch))[0].usage
    assert took.step is not None
    used = replace(took.used, seconds=took.step * steps)
    usage.save(paths, "train", settings, replace(took, used=used))


def main() -> int:
    """Return 0, or 1 after a sentence on what is wrong."""

    def values() -> dict[str, Any]:
        return load(Settings, Path(PARAMS), "train").model_dump()

    def work() -> None:
        sample(load(Settings, Path(PARAMS), "train"), Paths())

    return guarded("train", work, command="train", values=values)


if __name__ == "__main__":
    import tasks.core.spared  # noqa: F401  # before any heavy import

    sys.exit(main())
