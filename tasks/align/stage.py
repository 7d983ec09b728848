"""Align the tuned model, or the base, with preferences; or train a reward model on them.

    python -m tasks align

In: data/base, data/starts, data/trained, data/distilled, data/templated (preferences, judged, tokenizer), data/clean
(for episodes). Out: data/aligned: as data/trained, with the ledger of episodes if there were any, and the stages below
use it in its place; with `objective: reward` the reward model in `reward/` beside the curve, with `objective: off`
nothing but `settings.json` and a curve without points, and those stages use data/trained.
"""

import os
from typing import Any

from tasks.align import generation, guides
from tasks.align.objectives import OBJECTIVES
from tasks.align.settings import Settings
from tasks.core.declaration import Entry, Resources, Size, Stage
from tasks.core.paths import PATHS, Paths
from tasks.models.for_vllm import elsewhere
from tasks.training import estimate, usage, zero
from tasks.training.estimate import Base
from tasks.training.loss_curve import write_untrained
from tasks.training.optimizers import PARTICULAR
from tasks.training.tuning_settings import Tuning

__all__ = ["STAGE", "Settings", "run", "validate"]


# trl warns whoever imports ORPO or CPO that they may change; the version is exact here, and tests look at both
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings alone."""
    if settings.objective != "off" and settings.attention != "auto":
        from tasks.models.attention import check_attention

        check_attention("align", settings, settings)
    if settings.objective != "off":
        zero.check_installed("align", settings)
        if not elsewhere(paths, "align"):
            generation.check_machine(settings)
    sampled = OBJECTIVES[settings.objective].sampled
    particular = settings.arguments or settings.particular or settings.scheduler in PARTICULAR
    if settings.objective != "off" and settings.adapter:
        from tasks.models import start

        start.check("align", settings, settings.adapter, paths)
    if settings.objective == "off" or not (particular or sampled):
        return  # all else is known to fit, without seconds of imports
    from tasks.align import arguments

    arguments.validate(settings, paths)


def run(settings: Settings, paths: Paths) -> None:
    """Train, check and save; see the module's docstring."""
    if settings.objective == "off":
        write_untrained(paths.aligned, settings)
        usage.remove(paths, "align")
        print("align: off; later stages use the model from train")
        return
    from tasks.training import distributed

    zero.check_installed("align", settings)
    generation.check_machine(settings)
    if distributed.run("align", settings.launch):
        return
    from tasks.align.run import align

    align(settings, paths)


def size(params: Any, base: Base) -> Size:
    """What the adapter or model takes, and the checkpoints before it."""
    if params.align.objective == "off":
        return Size()
    checkpoints, result = estimate.training(base, _tuning(params), params.align)
    return Size(result, checkpoints)


def memory(params: Any, base: Base) -> int:
    """Bytes of weights, gradients and optimiser states, and of the weights of a teacher that is there, in float32."""
    if params.align.objective == "off":
        return 0
    teacher = guides.weights(Paths(), params.align.teacher) if OBJECTIVES[params.align.objective].uses_teacher else 0
    return estimate.memory(base, _tuning(params), params.align) + 4 * teacher


def _tuning(params: Any) -> Tuning:
    """What is tuned: what `train` tuned, unless it starts from the base."""
    tuned: Tuning = params.align
    if params.align.start == "train" and params.align.objective != "reward":
        tuned = params.train
    return tuned


STAGE = Stage(
    name="align",
    about="Learning from preferences.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(
        Entry(
            inputs=(
                PATHS.base,
                PATHS.rows("train"),
                PATHS.rows("validation"),
                PATHS.distilled(""),
                PATHS.guides,
                PATHS.templated / "judged",
                PATHS.templated / "preferences",
                PATHS.tokenizer,
                PATHS.tokens("train"),
                PATHS.tokens("validation"),
                PATHS.fitted,
                PATHS.starts,
            ),
            outputs=(PATHS.aligned,),
        ),
    ),
    resources=Resources(gpu=True, memory=memory),
    size=size,
)
