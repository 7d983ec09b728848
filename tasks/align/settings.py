"""Settings of alignment."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from tasks.align.episodes.settings import Episodes, absent
from tasks.align.not_offered import NOT_OFFERED
from tasks.align.objectives import OBJECTIVES
from tasks.align.pass_through import check_objective, check_passes
from tasks.align.rewards import REWARDS
from tasks.core.paths import PATHS
from tasks.core.settings import Settings as Section
from tasks.core.settings import absent as unset
from tasks.named.choices import Choice, check_keys, hint
from tasks.named.names import Name
from tasks.training.launch import Launch, alone
from tasks.training.pass_through import check_arguments, check_effect
from tasks.training.settings import Optimization, Samples, unasked
from tasks.training.strategies import check_strategy
from tasks.training.tuning_settings import Positive, Tuning

TRUNK = "trunk"
"""Values of ppo come from the policy's own trunk."""

OBJECTIVE, REWARD = Choice("objective", OBJECTIVES), Choice("reward", REWARDS)
Objective = Annotated[str, AfterValidator(OBJECTIVE.known), Field(json_schema_extra=OBJECTIVE.describe)]
Kind = Annotated[str, AfterValidator(REWARD.known), Field(json_schema_extra=REWARD.describe)]


class Reward(Section):
    """What an answer is worth; the worth by several is added, each times its weight."""

    kind: Kind
    """How an answer is scored."""
    weight: float = 1.0
    """Factor of this reward in the sum of all rewards."""
    pattern: str | None = None
    """`pattern`: a regular expression, searched for in the answer as by Python's re.search."""
    name: str | None = None
    """`model`: the reward model's folder in data/guides. `function`: file.py:function in data/guides, or
    package.module:function of an installed package; it is called as f(prompt, answer, reference) with three strings and
    returns a number."""
    seconds: Annotated[Annotated[float, Field(ge=0.01, le=3600)] | None, Field(exclude_if=unset)] = None
    """`function`: longest time that one call may take, in seconds of wall-clock time; beyond it the run ends with an
    error. null: 60."""

    @model_validator(mode="after")
    def _complete(self) -> "Reward":
        check_keys(self, "reward", self.kind, REWARDS)
        if self.seconds is not None and self.kind != "function":
            raise ValueError(
                f"the key seconds is for the reward function; it has no effect on {self.kind}, so remove it"
            )
        if check := REWARDS[self.kind].check:
            check(self)
        return self


class Generation(Section):
    """Who gives the answers that an objective learns from."""

    engine: Literal["model", "vllm"] = "model"
    """model: transformers generates with the model that is being trained. vllm: for grpo, gmpo, rloo and ppo, vLLM
    generates on a GPU, with weights that are updated before each round; answers then differ from run to run, and so do
    the trained weights."""
    server: str | None = None
    """URL of a `vllm serve` that runs the base on its own GPUs, such as http://127.0.0.1:8000. null: vLLM runs inside
    each training process, on the same GPU."""
    port: Annotated[int, Field(ge=1, le=65535)] = 51216
    """Port of this machine through which a server receives the weights."""
    memory: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the GPU's memory (0 to 1) that vLLM reserves when it shares the GPU with training, for a second copy of
    the weights and the KV cache."""

    @field_validator("server")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]+)*", value.rstrip("/")):
            raise ValueError("server must be a URL such as http://127.0.0.1:8000, without user name or password")
        return value and value.rstrip("/")

    @model_validator(mode="after")
    def _effect(self) -> "Generation":
        changed = {name for name, value in type(self).model_fields.items() if getattr(self, name) != value.default}
        if self.engine == "model" and (without := sorted(changed)):
            raise ValueError(f"{without[0]} has no effect with engine model; set engine to vllm, or remove it")
        if self.server and "memory" in changed:
            raise ValueError(
                "memory has no effect with a server, which has its own --gpu-memory-utilization; remove it"
            )
        if not self.server and "port" in changed:
            raise ValueError("port has no effect without server; remove it")
        return self


def by_model(generation: Generation) -> bool:
    """Whether a section is as it is without it, and does not stand in the record of settings."""
    return generation == Generation()


class Settings(Optimization, Tuning):
    """The section `align`."""

    retired: ClassVar = {"padding_free": ("auto", False), "group_by_length": (False,)}

    objective: Objective = "off"
    """What alignment learns from. Some objectives have several losses; choose one with `arguments: {loss_type:
    ...}`."""
    start: Name = "train"
    """What alignment continues from. train: the adapter or model that `train` made; `method` and the keys that go with
    it have no effect. base: the base, tuned by `method`. Otherwise a folder in data/starts with an adapter of the base,
    as for `train.start`. A reward model starts from train or base and is always tuned by `method`."""
    steps: Positive | None = 100
    """Optimiser steps. null, or absent while `epochs` is set: `epochs` decides."""
    batch_size: Positive = 8
    """Pairs or rated answers per forward pass. For grpo, gmpo, rloo, ppo and sdft: generated answers, with `answers` of
    them to each prompt. For online_dpo: prompts, each with two answers. For gkd, gold and distill: rows."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Peak learning rate, after warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """Steps over which the learning rate rises linearly from zero."""
    eval_steps: Positive = 50
    """Steps between two evaluations on the validation split: its loss and `samples`; only `samples` if the objective
    generates answers. The loss is the mean over rows, whatever batch_size is: a loss that depends on the whole batch is
    computed for each row alone."""
    samples: Annotated[Samples, Field(exclude_if=unasked)] = Samples()
    """Answers to a few held-out prompts at each evaluation. If training generates answers, it also shows an equal
    number of those, with their rewards."""
    max_start: Annotated[float, Field(gt=0)] = 1e-3
    """Check of the first step, in which model and reference must still be equal: training stops if an answer's absolute
    reward (dpo and kto; in nats times beta) or the divergence (objectives with rewards; in nats) is larger than this.
    dpo's sigmoid loss then starts at ln 2."""
    prompts: Literal["rows", "pairs"] = "rows"
    """Where prompts and references come from if the model generates the answers. rows: training rows, up to their last
    answer. pairs: the prompts of pairs; the chosen answer is the reference."""
    rewards: tuple[Reward, ...] = (Reward(kind="exact_match"),)
    """How answers are scored for grpo, gmpo, rloo, ppo and online_dpo; no effect on other objectives."""
    teacher: str | None = None
    """Folder of the teacher in data/guides, for gkd and gold. For gkd, it must have the base's tokens; for gold, the
    folder must also hold its tokenizer."""
    answers: Annotated[int, Field(ge=2)] = 4
    """Answers generated for each prompt, for grpo, gmpo, rloo, ppo and sdft; `batch_size` times
    `gradient_accumulation`, over all processes, must be a multiple of it."""
    answer_tokens: Positive = 64
    """Longest generated answer, in tokens; in episodes, the longest turn of the model."""
    episodes: Annotated[Episodes, Field(exclude_if=absent)] = Episodes()
    """Answers of several turns, in which the model calls tools or acts in an environment."""
    generation: Annotated[Generation, Field(exclude_if=by_model)] = Generation()
    """What generates the answers that an objective learns from; no effect on objectives that generate none."""
    value: Name = TRUNK
    """Where ppo's value estimates come from. trunk: a head on the model that is trained, initialised to 0. Otherwise a
    folder in data/guides: a separate model, all of which is trained, so it needs as much memory as full tuning; the
    reward model of the same base is a good start."""
    launch: Annotated[Launch, Field(exclude_if=alone)] = Launch()
    """Processes that train together, as for `train.launch`."""
    arguments: Annotated[dict[str, Any], AfterValidator(check_arguments)] = Field(default_factory=dict)
    """Further arguments of the objective's configuration in trl, by their names there, such as beta: 0.1. temper
    refuses an argument without effect."""

    @property
    def off(self) -> bool:
        """Whether nothing is aligned."""
        return self.objective == "off"

    @property
    def longest_answer(self) -> int:
        """Most tokens behind a prompt."""
        return self.episodes.max_tokens if self.episodes.on else self.answer_tokens

    @property
    def adapter(self) -> str | None:
        """The folder in data/starts that is started from."""
        return None if self.start in ("train", "base") else self.start

    @field_validator("arguments")
    @classmethod
    def _loss(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        name = info.data.get("objective", "off")  # not there where it is wrong itself
        if name != "off":
            check_objective(value, name)
        if "loss_type" not in value or name == "off":
            return value
        objective, loss_types = OBJECTIVES[name], value["loss_type"]
        if not objective.losses:
            raise ValueError(f"{name} has one loss; remove loss_type")
        for loss in loss_types if isinstance(loss_types, list) and objective.mixes_losses else [loss_types]:
            if loss not in objective.losses:
                raise ValueError(f"{name} has no loss {loss}; {hint(str(loss), objective.losses).removesuffix('.')}")
        return value

    @field_validator("objective", mode="before")
    @classmethod
    def _offered(cls, value: Any) -> Any:
        if value is False:  # `off` as YAML 1.1 reads it, which DVC's parser does
            return "off"
        if isinstance(value, str) and value in NOT_OFFERED:
            raise ValueError(f"not offered: {NOT_OFFERED[value]}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        objective = OBJECTIVES[self.objective]
        if objective.trains_reward_model and self.adapter:
            raise ValueError("a reward model starts from train or base; set start to one of them")
        if objective.trains_reward_model and self.samples.prompts:
            raise ValueError("a reward model generates no answers; set samples.prompts to 0")
        check_effect(self.arguments, self)
        check_passes(
            {**objective.preset, **self.arguments}, self.batch_size * self.launch.world, self.gradient_accumulation
        )
        _check_launch(self)
        _check_episodes(self)
        _check_engine(self)
        if objective.uses_teacher and not self.teacher:
            raise ValueError(f"objective {self.objective} needs the key teacher, a folder in {PATHS.guides}")
        if objective.uses_rewards and not self.rewards:
            raise ValueError(f"objective {self.objective} needs rewards, such as [{{kind: exact_match}}]")
        if objective.uses_rewards and not any(reward.weight for reward in self.rewards):
            raise ValueError(
                "every reward has the weight 0, so nothing would be learned; give one of them another weight"
            )
        if objective.check:
            objective.check(self)
        return self


def _check_episodes(settings: Settings) -> None:
    """Raise `ValueError` where answers cannot be episodes, or a reward asks an environment that is not there."""
    episodes, objective = settings.episodes, OBJECTIVES[settings.objective]
    asked = objective.uses_rewards and any(reward.kind == "environment" for reward in settings.rewards)
    if asked and not episodes.environment:
        raise ValueError("a reward of kind environment needs episodes.environment; set it, or use another reward")
    if not episodes.on or settings.objective == "off":
        return
    if not objective.episodic:
        known = " and ".join(name for name, one in OBJECTIVES.items() if one.episodic)
        raise ValueError(
            f"{settings.objective} learns from single-turn answers, so episodes have no effect; set objective to "
            f"{known}, or remove episodes"
        )
    if settings.launch.world > 1:
        raise ValueError("episodes are untested with several processes; remove launch")
    if settings.generation.engine != "model":
        raise ValueError("episodes are untested with generation.engine vllm; set it to model, or remove episodes")
    if settings.answer_tokens > episodes.max_tokens:
        raise ValueError(
            f"answer_tokens = {settings.answer_tokens} limits a single turn, but is more than the whole episode may "
            f"have (episodes.max_tokens = {episodes.max_tokens}); lower the first, or raise the second"
        )


def _check_launch(settings: Settings) -> None:
    """Raise `ValueError` where several processes cannot learn by the objective together."""
    if settings.launch == Launch():
        return
    name, strategy, objective = settings.objective, settings.launch.strategy, OBJECTIVES[settings.objective]
    if objective.one_process:
        raise ValueError(f"{name} is untested with several processes; remove launch")
    if strategy != "ddp" and (objective.sampled or objective.trains_reward_model):
        raise ValueError(f"{name} works only with launch.strategy ddp; set it to ddp")
    check_strategy(settings)


def _check_engine(settings: Settings) -> None:
    """Raise `ValueError` where vLLM cannot give the answers that the objective learns from."""
    name, objective = settings.objective, OBJECTIVES[settings.objective]
    if settings.generation.engine == "model" or name == "off":
        return
    if not objective.by_engine:
        reason = (
            "its trainer in trl sends the engine texts, but prompts here are token ids"
            if (objective.uses_rewards)
            else "its trainer in trl supports no engine"
            if objective.sampled
            else "it generates no answers"
        )
        others = ", ".join(other for other, entry in OBJECTIVES.items() if entry.by_engine)
        raise ValueError(
            f"generation.engine vllm does not work with {name}: {reason}; set it to model, or choose one of these "
            f"objectives: {others}"
        )
    if settings.launch.world > 1:
        raise ValueError("generation.engine vllm is untested with several processes; remove launch, or set it to model")
    if "cache_implementation" in settings.arguments:
        raise ValueError("arguments.cache_implementation has no effect with generation.engine vllm; remove it")
    if settings.arguments.get("loss_type") == "vespo":
        raise ValueError(
            "the loss vespo is untested with generation.engine vllm; set the engine to model, or choose another loss"
        )
