"""An objective's trainer and its arguments; and what would be refused of the settings, before anything is there."""

from pathlib import Path
from typing import Any

from tasks.align.objectives import OBJECTIVES, Objective
from tasks.align.settings import SAMPLED, Settings
from tasks.core.paths import Paths
from tasks.training.adapters import peft_configuration
from tasks.training.arguments import arguments


def objective(name: str) -> Objective:
    """The objective that `align.objective` names."""
    if name in SAMPLED:
        from tasks.align.sampling import OBJECTIVES as SAMPLING

        return SAMPLING[name]
    return OBJECTIVES[name]


def values(settings: Settings, scratch: Path, longest: int, *, evaluated: bool, width: int | None = None) -> Any:
    """What trl's configuration of the objective ends up with.

    `longest`: tokens of the longest prompt, where the model answers; `evaluated`: whether there is a validation split.
    Raises `SettingsError`.
    """
    chosen = objective(settings.objective)
    own: dict[str, Any] = {"max_length": None}
    if settings.objective in SAMPLED:
        from tasks.align import sampling

        own = sampling.own(settings, longest)
    made = arguments(
        "align",
        chosen.arguments,
        settings,
        scratch,
        eval_steps=settings.eval_steps if evaluated else None,
        width=width,
        further={**chosen.preset, **settings.arguments},
        **own,
    )
    made.remove_unused_columns = False
    if settings.objective in SAMPLED:
        sampling.check(made, settings)
    return made


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what the stage would raise for its settings alone."""
    if settings.objective == "gkd":
        from tasks.align.prompts import place

        place(paths, settings.teacher or "", "align.teacher")
    elif settings.objective in SAMPLED:
        from tasks.align.rewards import ready

        ready(settings, paths)
    peft_configuration("align", settings)
    values(settings, paths.scratch("align"), 1, evaluated=settings.objective not in SAMPLED)
