"""Names of layers and weights in the settings, looked up in the model that a seed will become, before it is trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.align.episodes import definitions
from tasks.align.objectives import OBJECTIVES
from tasks.core.errors import ModelError, SettingsError
from tasks.core.paths import Paths
from tasks.rehearsal.sections import section
from tasks.template.tokenizer import template_text

SEED = "chatml"
"""The chat template of a base that is trained from a seed."""


def names_parts() -> bool:
    """Whether settings name parts of a base that is trained from a seed."""
    base = section("base")
    trained = base.text is not None or (not base.hub and (Path(base.folder) / "assistant.yaml").is_file())
    return trained and any(settings.particular for _, settings, _ in _tunings())


def faults() -> Iterator[SettingsError]:
    """What the stages train and align would refuse of such names."""
    import torch
    from transformers import LlamaForCausalLM, LlamaForSequenceClassification

    from tasks.base.pretrain import configuration
    from tasks.training.adapters import check_parts

    architecture = section("base").architecture
    for what, settings, scores in _tunings():
        with torch.device("meta"):
            kind: Any = LlamaForSequenceClassification if scores else LlamaForCausalLM
            skeleton = kind(configuration(architecture, architecture.vocabulary))
        try:
            check_parts(what, settings, skeleton)
        except SettingsError as error:
            yield error


def untold_tools() -> Iterator[ModelError]:
    """Whether episodes have tools that the chat template of a base from a seed does not tell the model of."""
    base, align = section("base"), section("align")
    name = section("template").chat_template or SEED
    if base.hub or align.objective == "off" or not align.episodes.on or "tools" in template_text(name):
        return
    environment = definitions.environment(align.episodes, Paths())
    if align.episodes.tools or (environment and environment.tools):
        yield ModelError(
            f"align.episodes: the chat template {name} does not show tools to the model; set template.chat_template to "
            "one that does, or let the environment reply through step only."
        )


def _tunings() -> Iterator[tuple[str, Any, bool]]:
    """Stages that tune the base, their settings, and whether with a head of scores or classes."""
    train, align = section("train"), section("align")
    if train.enabled:
        yield "train", train, train.classifies
    objective = OBJECTIVES[align.objective]
    if align.objective != "off" and (align.start == "base" or objective.trains_reward_model):
        yield "align", align, objective.trains_reward_model
