"""What train and align would refuse of the base as they start: known of its skeleton and its tokenizer alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tasks.align import guides, teacher
from tasks.align.episodes.start import check_template
from tasks.align.objectives import OBJECTIVES
from tasks.align.reward_model import check_tokens
from tasks.align.settings import TRUNK
from tasks.core.paths import Paths
from tasks.models import start
from tasks.models.adapter_files import adapter_config
from tasks.rehearsal.sections import section
from tasks.training import sharding
from tasks.training.adapters import peft_configuration
from tasks.training.embeddings import check_embeddings
from tasks.training.methods import METHODS


@dataclass(frozen=True)
class Tuned:
    """What a stage tunes as it starts."""

    what: str
    settings: Any
    """Of the stage; its `method` is that by which the tuned model is held."""
    adapter: str | None = None
    """The folder in data/starts that it starts from."""
    goes_on: bool = False
    """Whether it goes on with what the stage train has tuned, new tokens and all."""


def checks(skeleton: Any, tokenizer: Any, needed: set[str]) -> Iterator[Callable[[], object]]:
    """Functions that raise `TemperError` where a stage would refuse the base `skeleton` with this `tokenizer`.

    `tokenizer`: as the stage template leaves it. `needed`: the stages that are asked.
    """
    new = len(tokenizer) > skeleton.get_input_embeddings().num_embeddings
    for tuned in _tuned():
        if tuned.what not in needed:
            continue
        grown = new and not (tuned.goes_on and METHODS[tuned.settings.method].kind is None)
        yield partial(sharding.check_base, tuned.what, tuned.settings, skeleton, tokenizer if grown else ())
        if tuned.adapter:
            yield partial(_check_adapter, tuned.what, tuned.adapter, grown)
        elif not tuned.goes_on:
            yield partial(_check_method, tuned.what, tuned.settings, skeleton, grown)
    align = section("align")
    for index, reward in enumerate(align.rewards if OBJECTIVES[align.objective].uses_rewards else ()):
        if reward.kind == "model":
            folder = guides.model(Paths(), reward.name or "", f"align.rewards.{index}.name")
            yield partial(check_tokens, folder, tokenizer)
    if OBJECTIVES[align.objective].uses_values and align.value != TRUNK:
        yield partial(check_tokens, guides.model(Paths(), align.value, "align.value"), tokenizer)
    if align.objective == "gkd":
        rows = max(len(tokenizer), skeleton.get_input_embeddings().num_embeddings)
        yield partial(teacher.check_width, guides.model(Paths(), align.teacher or "", "align.teacher"), rows)
    if align.objective != "off" and align.episodes.on and "align" in needed:
        specials = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}  # one ends turns
        yield partial(check_template, align.episodes, Paths(), tokenizer, specials)


def _tuned() -> Iterator[Tuned]:
    """Of the stages that tune the base as a model of language; a reward model has no rows for new tokens."""
    train, align = section("train"), section("align")
    if train.enabled:
        yield Tuned("train", train, train.start)
    objective = OBJECTIVES[align.objective]
    if align.objective == "off" or objective.trains_reward_model:
        return
    if align.start != "train":
        yield Tuned("align", align, align.adapter)
    elif train.enabled:
        held = "full" if METHODS[train.method].kind is None else "lora"
        yield Tuned("align", align.model_copy(update={"method": held}), goes_on=True)


def _check_method(what: str, settings: Any, skeleton: Any, grown: bool) -> None:
    if METHODS[settings.method].kind is not None:
        check_embeddings(what, settings.method, peft_configuration(what, settings), skeleton, grown)


def _check_adapter(what: str, name: str, grown: bool) -> None:
    folder = start.adapter_folder(what, name, Paths())
    start.check_embeddings(what, folder, adapter_config(folder), grown)
