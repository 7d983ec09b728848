"""An objective's arguments; and what would be refused of the settings, before anything is there."""

from pathlib import Path
from typing import Any

from tasks.align import guides, teacher
from tasks.align.episodes import definitions
from tasks.align.objectives import OBJECTIVES
from tasks.align.pass_through import ALIGNED
from tasks.align.rewards import check_rewards
from tasks.align.settings import TRUNK, Settings
from tasks.core.paths import Paths
from tasks.training.adapters import check_tuning, peft_configuration
from tasks.training.arguments import arguments
from tasks.training.schedule import assumed, resolved, with_passes


def trl_configuration(
    settings: Settings, scratch: Path, longest: int, *, has_validation: bool, width: int | None = None
) -> Any:
    """What trl's configuration of the objective ends up with.

    `longest`: tokens of the longest prompt, where the model answers; `has_validation`: whether there is a
    validation split. Raises `SettingsError`.
    """
    objective = OBJECTIVES[settings.objective]
    _, configuration_class, _ = objective.load()
    further = {**objective.preset, **settings.arguments}
    set_by_stage: dict[str, Any] = {"max_length": None}
    preset = {name: value for name, value in objective.preset.items() if name not in settings.arguments}
    if objective.measures_alone(further.get("loss_type")):
        set_by_stage["per_device_eval_batch_size"] = 1
    if objective.sampled:
        from tasks.align import sampling

        set_by_stage = sampling.arguments_from_settings(settings, longest)
    configuration = arguments(
        "align",
        configuration_class,
        settings,
        scratch,
        eval_steps=settings.eval_steps if has_validation else None,
        width=width,
        further=settings.arguments,
        acting=ALIGNED[settings.objective],
        **set_by_stage,
        **preset,
    )
    configuration.remove_unused_columns = False
    if objective.sampled:
        sampling.check(configuration, settings)
    return configuration


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what the stage would raise for its settings alone."""
    settings = assumed(settings)
    objective = OBJECTIVES[settings.objective]
    if objective.uses_teacher:
        teacher.check(settings, paths)
    if objective.uses_rewards:
        check_rewards(settings, paths)
    if settings.episodes.on:
        definitions.check(
            settings.episodes, paths, rewards=any(reward.kind == "environment" for reward in settings.rewards)
        )
    if objective.uses_values and settings.value != TRUNK:
        guides.model(paths, settings.value, "align.value")
    peft_configuration("align", settings)
    if settings.start != "train" or objective.trains_reward_model:
        check_tuning("align", settings, scores=objective.trains_reward_model)
    trl_configuration(settings, paths.scratch("align"), 1, has_validation=not objective.sampled)


def scheduled(settings: Settings, items: int) -> Settings:
    """`settings` with the number of steps that its epochs are on `items`: rows, or prompts that the model answers."""
    if OBJECTIVES[settings.objective].grouped:
        from tasks.align.sampling import passes_an_epoch

        return with_passes("align", settings, passes_an_epoch(settings, items))
    return resolved("align", settings, items)
