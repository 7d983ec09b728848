"""Some steps of the stage `train`, to know how long all of them will take; what they train is thrown away.

    python -m tasks.train.sample

In: as for the stage. Out: `data/prices/train.json`, as the last training of the stage would have left it.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.contract.errors import TemperError
from tasks.contract.paths import Paths
from tasks.contract.settings import PARAMS, load
from tasks.train import usage
from tasks.train.settings import Settings


def sample(settings: Settings, paths: Paths) -> None:
    """Train a few steps by `settings`, without checkpoint and evaluation, in one process, and keep what they took."""
    from tasks.train import pace, tune

    steps = pace.FIRST + pace.MEASURED
    never = {"checkpoint_steps": steps + 1, "eval_steps": steps + 1, "patience": None}
    few = settings.model_copy(update={"steps": steps, "processes": 1, **never})
    with TemporaryDirectory(prefix="temper-") as scratch:
        took = tune.trained(few, paths, Path(scratch))[0].usage
    assert took.step is not None
    used = replace(took.used, seconds=took.step * steps)
    usage.keep(paths, "train", settings, replace(took, used=used))


def main() -> int:
    """Return 0, or 1 after a sentence on what is wrong."""
    try:
        sample(load(Settings, Path(PARAMS), "train"), Paths())
    except (TemperError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
