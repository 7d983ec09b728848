"""An objective's arguments; and what would be refused of the settings, before anything is there."""

from pathlib import Path
from typing import Any

from tasks.align import guides
from tasks.align.objectives import OBJECTIVES
from tasks.align.rewards import ready
from tasks.align.settings import Settings
from tasks.core.paths import Paths
from tasks.training.adapters import peft_configuration
from tasks.training.arguments import arguments


def values(settings: Settings, scratch: Path, longest: int, *, evaluated: bool, width: int | None = None) -> Any:
    """What trl's configuration of the objective ends up with.

    `longest`: tokens of the longest prompt, where the model answers; `evaluated`: whether there is a validation split.
    Raises `SettingsError`.
    """
    objective = OBJECTIVES[settings.objective]
    _, configuration, _ = objective.load()
    own: dict[str, Any] = {"max_length": None}
    if objective.sampled:
        from tasks.align import sampling

        own = sampling.own(settings, longest)
    made = arguments(
        "align",
        configuration,
        settings,
        scratch,
        eval_steps=settings.eval_steps if evaluated else None,
        width=width,
        further={**objective.preset, **settings.arguments},
        **own,
    )
    made.remove_unused_columns = False
    if objective.sampled:
        sampling.check(made, settings)
    return made


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what the stage would raise for its settings alone."""
    objective = OBJECTIVES[settings.objective]
    if objective.taught:
        guides.model(paths, settings.teacher or "", "align.teacher")
    if objective.rewarded:
        ready(settings, paths)
    peft_configuration("align", settings)
    values(settings, paths.scratch("align"), 1, evaluated=not objective.sampled)
