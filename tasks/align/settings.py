"""Settings of alignment."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from tasks.core.settings import Settings as Section
from tasks.core.settings import hint
from tasks.training.settings import Optimization, Positive, Tuning, check_arguments

GONE = {
    "ppo": "trl 1.16 has no PPO any more; take rloo or grpo with rewards: [{kind: model, name: ...}], which learn from "
    "the same reward model, or dpo, which learns from the pairs without one",
    "bco": "trl 1.16 has no BCO any more; take dpo with arguments: {loss_type: bco_pair}",
    "ipo": "it is a loss of dpo: take dpo with arguments: {loss_type: ipo}",
    "xpo": "trl 1.16 has no XPO any more; take online_dpo",
    "nash_md": "trl 1.16 has no Nash-MD any more; take online_dpo",
    "prm": "trl 1.16 has no process reward models any more; take reward",
}
"""Objectives by name that others know, and what stands for them here."""

LOSSES = {
    "dpo": (
        "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
        "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
    ),
    "kto": ("kto", "apo_zero_unpaired"),
    "cpo": ("sigmoid", "hinge", "ipo", "simpo", "alphapo"),
    "grpo": ("dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
    "online_dpo": ("sigmoid", "ipo"),
}  # fmt: skip
"""Losses of the objectives that have several, by `arguments: {loss_type: ...}`; dpo takes a list of them, too."""

GROUPED = ("grpo", "rloo")
"""Objectives that compare several answers to a prompt."""

SAMPLED = (*GROUPED, "online_dpo", "gkd")
"""Objectives that learn from answers that the model gives while it is trained."""

TAKEN = {
    "max_completion_length": "answer_tokens",
    "max_new_tokens": "answer_tokens",
    "num_generations": "answers",
    "num_generations_eval": "answers",
    "reward_weights": "rewards",
    "teacher_model_name_or_path": "teacher",
    "teacher_model_init_kwargs": "teacher",
}
"""Arguments of trl that have a key of their own here, beside those that every trainer has."""

Objective = Literal["off", "dpo", "kto", "orpo", "cpo", "simpo", "reward", "grpo", "rloo", "online_dpo", "gkd"]


class Reward(Section):
    """What an answer is worth; the worth by several is added, each times its weight."""

    kind: Literal["exact_match", "pattern", "function", "model"]
    """exact_match: 1 where the answer is the reference, blanks at its ends aside, else 0. pattern: 1 where a regular
    expression is found in it, else 0. function: what a function of yours returns. model: what a reward model says."""
    weight: float = 1.0
    """What it is multiplied by."""
    pattern: str | None = None
    """The regular expression, as Python's re.search takes it, for `kind: pattern`."""
    name: str | None = None
    """For kind model, the folder in data/guides; for kind function, file.py:function in data/guides, or
    package.module:function of an installed package. Called as f(prompt, answer, reference), all str, for a number."""

    @model_validator(mode="after")
    def _complete(self) -> "Reward":
        wanted = {"pattern": {"pattern"}, "function": {"name"}, "model": {"name"}}.get(self.kind, set())
        given = {key for key in ("pattern", "name") if getattr(self, key) is not None}
        if missing := wanted - given:
            raise ValueError(f"a reward of kind {self.kind} needs the key {missing.pop()}")
        if more := given - wanted:
            raise ValueError(f"{more.pop()} has no effect on a reward of kind {self.kind}; remove it")
        if self.kind == "function" and (self.name or "").count(":") != 1:
            raise ValueError("name has to be file.py:function or package.module:function")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from None
        return self


class Settings(Optimization, Tuning):
    """The section `align`."""

    objective: Objective = "off"
    """off; on pairs of answers: dpo (every loss by arguments: {loss_type: ...}), orpo, cpo, simpo, or reward, a model
    that scores answers; on answers that are good or not, or on pairs taken apart: kto; on answers that the model gives
    in training: grpo, rloo and online_dpo, by `rewards`, and gkd, by `teacher`."""
    start: Literal["train", "base"] = "train"
    """train: what the stage train made goes on being trained, adapter or model, and `method` and what belongs to it
    have no effect. base: the base, tuned by `method`. A reward model is always tuned by `method`."""
    steps: Positive = 100
    """Optimiser steps."""
    batch_size: Positive = 8
    """Pairs or judged answers a forward pass; for grpo and rloo answers of the model, `answers` to each prompt; for
    online_dpo prompts, each with two answers; for gkd rows."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Peak learning rate, after warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """Steps in which the learning rate rises linearly from zero."""
    eval_steps: Positive = 50
    """Steps between two losses on the validation split; without effect where the model gives the answers."""
    max_start: Annotated[float, Field(gt=0)] = 1e-3
    """Largest reward (absolute, in nats times beta) of an answer in the first step of dpo and kto, and largest
    divergence (nats) of grpo, rloo and online_dpo, in which model and reference are the same: so near the loss has to
    start to its value there, for dpo's sigmoid ln 2."""
    prompts: Literal["rows", "pairs"] = "rows"
    """Where prompts and references of grpo, rloo, online_dpo and gkd come from. rows: the rows that are trained, up to
    their last answer. pairs: the prompts of pairs, with what was chosen."""
    rewards: tuple[Reward, ...] = (Reward(kind="exact_match"),)
    """What an answer is worth to grpo, rloo and online_dpo; without effect for others."""
    teacher: str | None = None
    """Folder in data/guides of the model that gkd learns from; its tokens have to be those of the base."""
    answers: Annotated[int, Field(ge=2)] = 4
    """Answers to each prompt that grpo and rloo compare; `batch_size` times `gradient_accumulation` is a multiple."""
    answer_tokens: Positive = 64
    """Largest length of an answer of the model, in tokens."""
    arguments: Annotated[dict[str, Any], AfterValidator(check_arguments)] = Field(default_factory=dict)
    """Further arguments of trl's configuration of the objective by their names there, such as beta: 0.1."""

    @field_validator("arguments")
    @classmethod
    def _loss(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for argument in sorted(set(value) & set(TAKEN)):
            raise ValueError(f"{argument} is set by the key {TAKEN[argument]}")
        name = info.data.get("objective", "")
        if "loss_type" not in value or name == "off":
            return value
        losses = LOSSES.get(name)
        if losses is None:
            raise ValueError(f"{name} has one loss; remove loss_type")
        asked = value["loss_type"]
        for loss in asked if isinstance(asked, list) and name == "dpo" else [asked]:
            if loss not in losses:
                raise ValueError(f"{name} has no loss {loss}; {hint(str(loss), losses).removesuffix('.')}")
        return value

    @field_validator("objective", mode="before")
    @classmethod
    def _gone(cls, value: Any) -> Any:
        if value is False:  # `off` as YAML 1.1 reads it, which DVC's parser does
            return "off"
        if isinstance(value, str) and value in GONE:
            raise ValueError(f"not offered: {GONE[value]}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        if self.group_by_length or self.padding_free is True:
            raise ValueError("group_by_length and padding_free are for the stage train")
        if self.objective == "reward" and self.quantized:
            raise ValueError("a reward model is saved whole; set quantization to null, and a method other than qlora")
        if self.objective == "gkd" and not self.teacher:
            raise ValueError("objective gkd needs the key teacher, a folder in data/guides")
        if self.objective in ("grpo", "rloo", "online_dpo") and not self.rewards:
            raise ValueError(f"objective {self.objective} needs rewards, such as [{{kind: exact_match}}]")
        if self.objective in GROUPED and self.batch_size * self.gradient_accumulation % self.answers:
            raise ValueError(
                f"batch_size times gradient_accumulation is {self.batch_size * self.gradient_accumulation}, and no "
                f"multiple of answers, {self.answers}"
            )
        if self.objective == "online_dpo" and self.gradient_accumulation > 1:
            raise ValueError("trl's online DPO adds up gradients without dividing them; set gradient_accumulation to 1")
        return self
