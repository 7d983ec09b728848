"""Settings of alignment."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from tasks.contract.settings import hint
from tasks.train.settings import Optimization, Positive, Tuning, passed_on

OBJECTIVES = ("off", "dpo", "kto", "orpo", "cpo", "simpo", "reward")
"""What can be trained for."""

GONE = {
    "ppo": "trl 1.16 has no PPO any more; dpo learns from the same pairs without a reward model",
    "bco": "trl 1.16 has no BCO any more; take dpo with arguments: {loss_type: bco_pair}",
    "ipo": "it is a loss of dpo: take dpo with arguments: {loss_type: ipo}",
    "xpo": "trl 1.16 has no XPO any more; take dpo",
    "nash_md": "trl 1.16 has no Nash-MD any more; take dpo",
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
}  # fmt: skip
"""Losses of the objectives that have several, by `arguments: {loss_type: ...}`; dpo takes a list of them, too."""

Objective = Literal["off", "dpo", "kto", "orpo", "cpo", "simpo", "reward"]


class Settings(Optimization, Tuning):
    """The section `align`."""

    objective: Objective = "off"
    """off; on pairs of answers: dpo (every loss by arguments: {loss_type: ...}), orpo, cpo, simpo, or reward, a model
    that scores answers; on answers that are good or not, or on pairs taken apart: kto."""
    start: Literal["train", "base"] = "train"
    """train: what the stage train made goes on being trained, adapter or model, and `method` and what belongs to it
    have no effect. base: the base, tuned by `method`. A reward model is always tuned by `method`."""
    steps: Positive = 100
    """Optimiser steps."""
    batch_size: Positive = 8
    """Pairs or judged answers a forward pass."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Peak learning rate, after warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """Steps in which the learning rate rises linearly from zero."""
    eval_steps: Positive = 50
    """Steps between two losses on the validation split."""
    max_start: Annotated[float, Field(gt=0)] = 1e-3
    """Largest reward (absolute, in nats times beta) of an answer in the first step of dpo and kto, in which model and
    reference are the same: so near the loss has to start to its value there, for dpo's sigmoid ln 2."""
    arguments: Annotated[dict[str, Any], AfterValidator(passed_on)] = Field(default_factory=dict)
    """Further arguments of trl's configuration of the objective by their names there, such as beta: 0.1."""

    @field_validator("arguments")
    @classmethod
    def _loss(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
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
