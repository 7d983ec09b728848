"""What alignment cannot start from; known from the sections train and align, and asked again of the model itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.align import generation
from tasks.align.objectives import OBJECTIVES
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.training.methods import METHODS

if TYPE_CHECKING:
    from tasks.align.settings import Settings
    from tasks.train.settings import Settings as Train


def check(settings: "Settings", train: "Train") -> None:
    """Raise `SettingsError` where alignment by `settings` could not start after training by `train`."""
    if settings.objective == "off":
        return
    goes_on = settings.start == "train"
    generation.check_tuned(settings, train if goes_on else settings)
    if not goes_on:
        check_sharing(settings, whole=METHODS[settings.method].kind is None, scheme=None)
        return
    if not train.enabled:
        raise SettingsError(
            f"{PATHS.params}: align.start is train, but train.enabled is false, so there is nothing to start from; set "
            "align.start to base."
        )
    if OBJECTIVES[settings.objective].trains_reward_model:
        check_merging(train.method)
    else:
        check_sharing(settings, whole=METHODS[train.method].kind is None, scheme=train.quantized)


def check_distilled(settings: "Settings", splits: Sequence[str]) -> None:
    """Raise `SettingsError` where alignment would miss what the stage distill asks, or nothing would learn from it."""
    uses_distilled = OBJECTIVES[settings.objective].uses_distilled
    if uses_distilled and "train" not in splits:
        raise SettingsError(
            f"{PATHS.params}: align.objective {settings.objective} learns from what distill.teacher answers to "
            "the training rows, but distill.splits does not include train; set it to [train] or [train, validation], "
            "and set the teacher."
        )
    if splits and not uses_distilled:
        raise SettingsError(
            f"{PATHS.params}: distill.splits is [{', '.join(splits)}], but align.objective {settings.objective} does "
            "not use the teacher's answers; set align.objective to distill, or distill.splits to []."
        )


def check_sharing(settings: "Settings", *, whole: bool, scheme: str | None) -> None:
    """Raise `SettingsError` where processes cannot share out what is tuned.

    `whole`: the model's own weights are, and no adapter. `scheme`: by what the base is held in low bits, if it is.
    """
    strategy, objective = settings.launch.strategy, OBJECTIVES[settings.objective]
    if strategy == "ddp" or objective.trains_reward_model:
        return
    if scheme:
        raise SettingsError(
            f"{PATHS.params}: align continues from a model that train tuned on a quantised base ({scheme}), whose "
            "weights cannot be sharded; set align.launch.strategy to ddp."
        )
    if whole and objective.uses_reference:
        raise SettingsError(
            f"{PATHS.params}: {settings.objective} compares the whole model with a second copy, which "
            f"align.launch.strategy {strategy} does not shard; train an adapter, or set it to ddp."
        )


def check_merging(method: str) -> None:
    """Raise `SettingsError` where a reward model cannot start from an adapter that is trained by `method`."""
    if not METHODS[method].side_by_side:
        raise SettingsError(
            f"{PATHS.params}: a reward model starts from merged weights, but the virtual tokens of train.method "
            f"{method} cannot be merged; set align.start to base, or train.method to lora."
        )
