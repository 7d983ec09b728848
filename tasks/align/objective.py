"""What an objective of alignment is, and what settings must be for some of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.align.settings import Settings


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
    uses_distilled: bool = False
    """Whether it learns from what the stage distill wrote for the rows."""
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


def saved_whole(settings: "Settings") -> None:
    if settings.quantized:
        raise ValueError(
            "a reward model is saved with all its weights, which cannot be quantised; set quantization to null, and "
            "method to one other than qlora"
        )


def whole_groups(settings: "Settings") -> None:
    world = settings.launch.world
    if (answers := settings.batch_size * settings.gradient_accumulation * world) % settings.answers:
        processes = f" times {world} processes" if world > 1 else ""
        raise ValueError(
            f"batch_size times gradient_accumulation{processes} is {answers}, which must be a multiple of answers = "
            f"{settings.answers}"
        )


def whole_groups_and_values(settings: "Settings") -> None:
    whole_groups(settings)
    if settings.optimizer == "muon" or settings.weights != "float32":
        raise ValueError(
            "ppo trains its value model together with the policy, in float32 and with the same optimiser; set weights "
            "to float32, and optimizer to one other than muon"
        )


def one_pass_a_step(settings: "Settings") -> None:
    if settings.gradient_accumulation > 1:
        raise ValueError(
            "trl's online DPO sums accumulated gradients instead of averaging them; set gradient_accumulation to 1"
        )


def on_rows(settings: "Settings") -> None:
    if settings.prompts != "rows":
        raise ValueError(f"{settings.objective} learns from the dialogues in the rows; set prompts to rows")


def own_teacher(settings: "Settings") -> None:
    on_rows(settings)
    whole_groups(settings)
    kind = settings.arguments.get("teacher_model_kind", "live")
    if kind == "ema":
        raise ValueError("teacher_model_kind ema is not offered: a checkpoint does not hold the averaged weights")
    if kind not in ("live", "base"):
        raise ValueError(f"teacher_model_kind is {kind!r}, but must be live or base")
    if kind == "base" and (settings.start != "base" or settings.method in ("full", "freeze")):
        raise ValueError(
            "teacher_model_kind base uses the model without its adapter; set start to base and method to lora or "
            "another adapter method, or remove it"
        )
