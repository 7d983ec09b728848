"""Every objective of alignment by its name, one entry each: what it learns from, its losses, and trl's trainer for it.

To add one: an entry here, and its trainer in `trainers` (answers that are there) or `sampling` (answers that the model
gives while it is trained). All else reads the entry. Trainers and rows are named as "module:name", and loaded when a
stage runs: trl and torch take seconds, and settings are checked without them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.align.settings import Settings

NOT_OFFERED = {
    "dapo": "it is a loss of grpo: take grpo with arguments: {loss_type: dapo, epsilon_high: 0.28, num_iterations: 2}",
    "dr_grpo": "it is a loss of grpo: take grpo with arguments: {loss_type: dr_grpo, scale_rewards: none}",
    "gspo": "it is grpo with arguments: {importance_sampling_level: sequence, loss_type: grpo, num_iterations: 2}",
    "reinforce": "rloo is REINFORCE with the other answers to a prompt as its baseline",
    "bco": "trl 1.16 has no BCO any more; take dpo with arguments: {loss_type: bco_pair}",
    "ipo": "it is a loss of dpo: take dpo with arguments: {loss_type: ipo}",
    "xpo": "trl 1.16 has no XPO any more; take online_dpo",
    "nash_md": "trl 1.16 has no Nash-MD any more; take online_dpo",
    "async_grpo": "trl's experimental trainer learns while a vLLM server on other GPUs answers, so no two runs end in "
    "the same bytes; take grpo, with episodes for several turns",
    "harbor": "trl's experimental environments are containers that the package harbor starts, for Python 3.12 and "
    "later; take grpo with episodes.environment",
    "openreward": "trl's experimental environments are asked over the network for each turn, so a run cannot be "
    "repeated; take grpo with episodes.environment",
    "prm": "trl 1.16 has no process reward models any more; take reward",
    "seqkd": "it is training on rows that a teacher answered: make them by generate, and train on them",
    "uld": "it is the loss of gold; take gold",
    "server_distillation": (
        "trl's asks its server anew at every step, so that a run that was killed pays again; take distill"
    ),
    "distillation": "trl's differs from gkd in where answers are generated; take gkd with arguments: {lmbda: 1.0}",
}
"""Objectives by name that others know, and what stands for them here."""


@dataclass(frozen=True)
class Objective:
    """One of them."""

    about: str
    """What it learns from, in a phrase."""
    trainer: str = ""
    """Its trainer, a subclass of trl's that takes token ids as they are; "" where nothing is trained."""
    arguments: str = ""
    """trl's configuration of the trainer."""
    row_mapper: str = "tasks.align.items:pair"
    """A row, and the one before it, as the trainer reads it."""
    preset: dict[str, Any] = field(default_factory=dict)
    """Arguments that make it this objective."""
    losses: tuple[str, ...] = ()
    """What `arguments: {loss_type: ...}` may be; () where there is one loss."""
    mixes_losses: bool = False
    """Whether `loss_type` may be a list of them."""
    measured_alone: tuple[str, ...] = ()
    """Those of `losses` that are no mean over the rows of a batch, since rows are sorted in it, or compared with its
    mean, or share the mean over its tokens; "default" where nothing is chosen. Validation measures them row by row,
    so that the number does not depend on `batch_size`."""
    uses_reference: bool = False
    """Whether the model is compared with itself as it was before."""
    judged: bool = False
    """Whether it learns from answers that are good or not; pairs are taken apart for it where there are no others."""
    trains_reward_model: bool = False
    """Whether what it makes is a model that scores answers, and none that gives them."""
    episodic: str = ""
    """Its trainer where answers are episodes of several turns, as `trainer`; "" where they cannot be."""
    grouped: bool = False
    """Whether it compares several answers of the model to a prompt, as many as `answers` says."""
    uses_rewards: bool = False
    """Whether it learns from answers of the model by `rewards`."""
    uses_values: bool = False
    """Whether it also learns what an answer will be worth, before each of its tokens, by `value`."""
    one_process: bool = False
    """Whether it was not shown to learn right in several processes."""
    by_engine: bool = False
    """Whether vLLM may give the answers that it learns from."""
    uses_teacher: bool = False
    """Whether it learns from `teacher`, on answers of the model."""
    other_tokens: bool = False
    """Whether `teacher` may have other tokens."""
    self_taught: bool = False
    """Whether the model, shown the reference, is its own teacher."""
    told: bool = False
    """Whether it learns from what the stage distill was told of the rows."""
    check: "Callable[[Settings], None] | None" = None
    """Raises `ValueError` where it cannot work with other settings."""

    @property
    def sampled(self) -> bool:
        """Whether it learns from answers that the model gives while it is trained."""
        return self.uses_rewards or self.uses_teacher or self.self_taught

    def measures_alone(self, loss: Any) -> bool:
        """Whether validation takes one row at a time for `loss`: `loss_type`, or None where nothing is chosen."""
        losses = loss if isinstance(loss, list) else [loss or "default"]
        return not set(losses).isdisjoint(self.measured_alone)

    def load_trainer(self, *, episodes: bool) -> Any:
        """The trainer, for answers of one turn or for `episodes`; imports trl."""
        return resolve_name(self.episodic if episodes else self.trainer)

    def load(self) -> tuple[Any, Any, Any]:
        """Trainer, configuration and row mapper; imports trl."""
        return resolve_name(self.trainer), resolve_name(self.arguments), resolve_name(self.row_mapper)


def _saved_whole(settings: "Settings") -> None:
    if settings.quantized:
        raise ValueError("a reward model is saved whole; set quantization to null, and a method other than qlora")


def _whole_groups(settings: "Settings") -> None:
    world = settings.launch.world
    if (answers := settings.batch_size * settings.gradient_accumulation * world) % settings.answers:
        processes = f" times {world} processes" if world > 1 else ""
        raise ValueError(
            f"batch_size times gradient_accumulation{processes} is {answers}, and no multiple of answers, "
            f"{settings.answers}"
        )


def _whole_groups_and_values(settings: "Settings") -> None:
    _whole_groups(settings)
    if settings.optimizer == "muon" or settings.weights != "float32":
        raise ValueError(
            "ppo trains what tells values beside the model, in float32 and by one optimiser; set weights to float32, "
            "and an optimizer other than muon"
        )


def _one_pass_a_step(settings: "Settings") -> None:
    if settings.gradient_accumulation > 1:
        raise ValueError("trl's online DPO adds up gradients without dividing them; set gradient_accumulation to 1")


def _on_rows(settings: "Settings") -> None:
    if settings.prompts != "rows":
        raise ValueError(f"{settings.objective} learns from the dialogues of rows; set prompts to rows")


def _own_teacher(settings: "Settings") -> None:
    _on_rows(settings)
    _whole_groups(settings)
    kind = settings.arguments.get("teacher_model_kind", "live")
    if kind == "ema":
        raise ValueError("teacher_model_kind ema is not offered: a checkpoint does not hold the averaged weights")
    if kind == "base" and (settings.start != "base" or settings.method in ("full", "freeze")):
        raise ValueError(
            "teacher_model_kind base is the model without its adapter; set start to base and method to lora, or "
            "another adapter, or remove it"
        )


OBJECTIVES = {
    "off": Objective("what the stage train made goes on"),
    "dpo": Objective(
        "pairs of answers, by any loss of its many",
        "tasks.align.trainers:DPO",
        "trl.trainer.dpo_config:DPOConfig",
        losses=(
            "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
            "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
        ),
        mixes_losses=True,
        measured_alone=("bco_pair", "aot", "aot_unpaired", "sft"),
        uses_reference=True,
    ),
    "kto": Objective(
        "answers that are good or not, or pairs taken apart",
        "tasks.align.trainers:KTO",
        "trl.trainer.kto_config:KTOConfig",
        "tasks.align.items:judged",
        losses=("kto", "apo_zero_unpaired"),
        measured_alone=("default", "kto"),
        uses_reference=True,
        judged=True,
    ),
    "orpo": Objective(
        "pairs of answers, without a reference model",
        "tasks.align.trainers:ORPO",
        "tasks.training.private_trl:ORPOConfig",
        "tasks.align.items:labelled",
        measured_alone=("default",),
    ),
    "cpo": Objective(
        "pairs of answers, without a reference model, and the chosen ones as in training",
        "tasks.align.trainers:CPO",
        "tasks.training.private_trl:CPOConfig",
        "tasks.align.items:labelled",
        losses=("sigmoid", "hinge", "ipo", "simpo", "alphapo"),
        measured_alone=("default", "sigmoid", "hinge", "ipo", "simpo"),
    ),
    "simpo": Objective(
        "pairs of answers, by their likelihood a token",
        "tasks.align.trainers:CPO",
        "tasks.training.private_trl:CPOConfig",
        "tasks.align.items:labelled",
        preset={"loss_type": "simpo", "cpo_alpha": 0.0},
    ),
    "reward": Objective(
        "pairs of answers; makes a model that scores answers",
        "tasks.align.trainers:Reward",
        "trl.trainer.reward_config:RewardConfig",
        "tasks.align.items:whole",
        trains_reward_model=True,
        check=_saved_whole,
    ),
    "grpo": Objective(
        "several answers of the model to a prompt, by `rewards`",
        "tasks.align.sampling:GRPO",
        "trl.trainer.grpo_config:GRPOConfig",
        losses=("dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
        uses_reference=True,
        episodic="tasks.align.episodes.trainers:GRPO",
        grouped=True,
        uses_rewards=True,
        by_engine=True,
        check=_whole_groups,
    ),
    "gmpo": Objective(
        "as grpo, by the geometric mean of an answer's probability ratios: steadier where answers are used again",
        "tasks.align.sampling:GMPO",
        "tasks.training.private_trl:GMPOConfig",
        uses_reference=True,
        episodic="tasks.align.episodes.trainers:GMPO",
        grouped=True,
        uses_rewards=True,
        by_engine=True,
        check=_whole_groups,
    ),
    "rloo": Objective(
        "several answers of the model to a prompt, each compared with the others, by `rewards`",
        "tasks.align.sampling:RLOO",
        "trl.trainer.rloo_config:RLOOConfig",
        uses_reference=True,
        grouped=True,
        uses_rewards=True,
        by_engine=True,
        check=_whole_groups,
    ),
    "ppo": Objective(
        "answers of the model to a prompt, token by token, by `rewards` and what it expects of them",
        "tasks.align.ppo:PPO",
        "tasks.align.ppo:PPOConfig",
        preset={"num_iterations": 4},
        uses_reference=True,
        grouped=True,
        uses_rewards=True,
        uses_values=True,
        one_process=True,
        by_engine=True,
        check=_whole_groups_and_values,
    ),
    "online_dpo": Objective(
        "two answers of the model to a prompt, ranked by `rewards`",
        "tasks.align.sampling:OnlineDPO",
        "tasks.training.private_trl:OnlineDPOConfig",
        losses=("sigmoid", "ipo"),
        uses_reference=True,
        uses_rewards=True,
        one_process=True,
        check=_one_pass_a_step,
    ),
    "gkd": Objective(
        "answers of the model and of the rows, by the likelihoods of `teacher`",
        "tasks.align.sampling:GKD",
        "tasks.training.private_trl:GKDConfig",
        uses_teacher=True,
        one_process=True,
    ),
    "gold": Objective(
        "as gkd, by a `teacher` with other tokens",
        "tasks.align.gold:GOLD",
        "tasks.training.private_trl:GOLDConfig",
        preset={
            "use_uld_loss": True, "uld_token_merge_strategy": "bayesian", "uld_skip_student_eos": False,
            "uld_skip_teacher_eos": False,
        },
        uses_teacher=True,
        other_tokens=True,
        one_process=True,
        check=_on_rows,
    ),
    "sdft": Objective(
        "answers of the model, by its own likelihoods where it is shown the reference",
        "tasks.align.self_taught:SDFT",
        "tasks.training.private_trl:SDFTConfig",
        preset={
            "teacher_model_kind": "live",
            "teacher_prompt_template": (
                "{prompt}\n\nThis is an example for a response to the question:\n{privileged_context}\n\n"
                "Now answer with a response of your own."
            ),
        },
        grouped=True,
        self_taught=True,
        one_process=True,
        check=_own_teacher,
    ),
    "distill": Objective(
        "the rows, by the likelihoods that `distill.teacher` told of their tokens",
        "tasks.align.distilled:Distilled",
        "tasks.align.distilled:DistillConfig",
        "tasks.align.distilled:item",
        told=True,
        one_process=True,
    ),
}  # fmt: skip
"""Objectives in the order in which they are listed."""
