"""Fine-tune the base on the templated rows.

    python -m tasks train

In: data/base, data/templated, data/starts where `start` names an adapter there. Out: data/trained (the adapter, or the
whole model; `loss.csv`, `training.json`, `settings.json`; with `enabled: false` only that, and a curve without points).
A run that was killed goes on from its last checkpoint and ends in the same bytes.
"""

from typing import Any

from tasks.core.declaration import Entry, Resources, Size, Stage
from tasks.core.paths import PATHS, Paths
from tasks.train.settings import Settings
from tasks.training import estimate, usage, zero
from tasks.training.estimate import Base
from tasks.training.loss_curve import write_untrained
from tasks.training.optimizers import PARTICULAR

__all__ = ["STAGE", "Settings", "run", "validate"]


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings alone."""
    if settings.enabled and settings.attention != "auto":
        from tasks.models.attention import check_attention

        check_attention("train", settings, settings)
    if settings.enabled:
        zero.check_installed("train", settings)
    if settings.start:
        from tasks.models import start

        start.check("train", settings, settings.start, paths)
    if not settings.enabled or not (settings.arguments or settings.particular or settings.scheduler in PARTICULAR):
        return  # all else is known to fit, without seconds of imports
    if settings.objective != "rows":
        from tasks.train import row_trainer

        row_trainer.validate(settings, paths.scratch("train"))
        return
    from tasks.training import trainer

    trainer.validate(settings, paths.scratch("train"))


def run(settings: Settings, paths: Paths) -> None:
    """Train, check and save; see the module's docstring."""
    from tasks.training import distributed

    if not settings.enabled:
        write_untrained(paths.fitted, settings)
        usage.remove(paths, "train")
        print("train: off; align trains the base instead")
        return

    zero.check_installed("train", settings)
    if distributed.run("train", settings.launch):
        return
    from tasks.train.run import tune

    tune(settings, paths)


def size(params: Any, base: Base) -> Size:
    """What the adapter or model takes, and the checkpoints before it."""
    if not params.train.enabled:
        return Size()
    checkpoints, result = estimate.training(base, params.train, params.train)
    return Size(result, checkpoints)


def memory(params: Any, base: Base) -> int:
    """Bytes of weights, gradients and optimiser states."""
    return estimate.memory(base, params.train, params.train) if params.train.enabled else 0


STAGE = Stage(
    name="train",
    about="Fine-tuning.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(
        Entry(
            inputs=(
                PATHS.base,
                PATHS.counts,
                PATHS.tokenizer,
                PATHS.tokens("train"),
                PATHS.tokens("validation"),
                PATHS.starts,
            ),
            outputs=(PATHS.fitted,),
        ),
    ),
    resources=Resources(gpu=True, memory=memory),
    size=size,
)
