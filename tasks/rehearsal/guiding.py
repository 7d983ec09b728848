"""Models in data/guides that alignment would refuse: known of their configuration and of the headers of their weights.

    for check in checks({"align"}): check()

They are there before any stage runs, so nothing of the base is needed.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tasks.align import guides
from tasks.align.objectives import OBJECTIVES
from tasks.align.settings import TRUNK
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.models.classes import model_config
from tasks.rehearsal.sections import section

SCORES = "ForSequenceClassification"
"""How transformers' classes end whose models give numbers for a whole text."""


def checks(needed: set[str]) -> Iterator[Callable[[], object]]:
    """Functions that raise `TemperError` where a model that settings name cannot reward, tell values, or teach.

    `needed`: the stages that are asked.
    """
    for folder, check in models(needed):
        yield partial(check, folder)


def models(needed: set[str]) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """The folders of models that reward, tell values, or teach, each with the function that checks it."""
    if "align" not in needed:
        return
    align, paths = section("align"), Paths()
    objective = OBJECTIVES[align.objective]
    for index, reward in enumerate(align.rewards if objective.uses_rewards else ()):
        if reward.kind == "model":
            key = f"align.rewards.{index}.name"
            yield guides.model(paths, reward.name or "", key), partial(_check_reward, key)
    if objective.uses_values and align.value != TRUNK:
        yield guides.model(paths, align.value, "align.value"), _check_values
    if objective.uses_teacher:
        yield guides.model(paths, align.teacher or "", "align.teacher"), _check_teacher


def _check_reward(key: str, folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    from tasks.rehearsal.weights import full_size

    config, kind = _read(folder)
    if not kind.endswith(SCORES):
        raise InputError(
            f"{folder}: {key} names a {kind}, which gives no score for an answer; name a reward model, such as "
            "align.objective reward trains."
        )
    _check_one_number(folder, config, key)
    full_size(folder, config, str(folder), kind=AutoModelForSequenceClassification)


def _check_values(folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    from tasks.align.values import HEAD, check_head
    from tasks.rehearsal.weights import full_size

    config, kind = _read(folder)
    if kind.endswith(SCORES):
        _check_one_number(folder, config, "align.value")
    config.num_labels = 1  # a model that writes gets a new head
    made_up = None if kind.endswith(SCORES) else HEAD
    check_head(full_size(folder, config, str(folder), kind=AutoModelForSequenceClassification, made_up=made_up), folder)


def _check_teacher(folder: Path) -> None:
    from tasks.rehearsal.weights import full_size

    config, kind = _read(folder)
    if kind.endswith(SCORES):
        raise InputError(f"{folder}: align.teacher names a {kind}, which writes no answers; name a model that does.")
    full_size(folder, config, str(folder))


def _read(folder: Path) -> tuple[Any, str]:
    """Configuration and class of the model in `folder`, whose files of weights are whole."""
    from tasks.models.shards import stored_tensors  # it loads torch, and most runs name no such model

    config = model_config(folder)
    stored_tensors(folder)
    return config, next(iter(config.architectures or ()), str(config.model_type))


def _check_one_number(folder: Path, config: Any, key: str) -> None:
    if config.num_labels != 1:
        raise InputError(
            f"{folder}: {key} names a model that gives {config.num_labels} numbers for an answer, but one is needed; "
            "name a reward model, such as align.objective reward trains."
        )
