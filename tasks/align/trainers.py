"""trl's trainers for answers that are there, as they take rows that are ready: with the ids that template made."""

import math
from itertools import islice
from typing import Any

from transformers import TrainerCallback
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer

from tasks.align import items
from tasks.core.errors import CheckFailed
from tasks.core.numbers import shown
from tasks.training.loss_curve import LAST, above_start
from tasks.training.private_sharding import SharedCheckpoints
from tasks.training.private_trl import CPOTrainer, ORPOTrainer, OwnDivergence, Prepared


class PreparedTrainer(SharedCheckpoints, Prepared):
    """Has a trainer of trl take rows as they are, and stop where the loss is not a number."""

    def tokenize_row(self, feature: items.Row, model: Any = None) -> items.Row:
        """What ORPO and CPO call for each row."""
        return feature

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        """The trainer's own loss."""
        result = super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)  # type: ignore[misc]
        loss = result[0] if return_outputs else result
        if not math.isfinite(value := loss.item()):
            raise CheckFailed(
                f"align: the loss is {value}; lower align.learning_rate, lengthen align.warmup_steps, or set "
                "align.dtype to float32."
            )
        return result


class DPO(PreparedTrainer, DPOTrainer):  # type: ignore[misc]
    """Direct preference optimisation (Rafailov 2023, arXiv:2305.18290) and its many losses."""


class KTO(OwnDivergence, PreparedTrainer, KTOTrainer):  # type: ignore[misc]
    """Kahneman-Tversky optimisation (Ethayarajh 2024, arXiv:2402.01306)."""


class ORPO(PreparedTrainer, ORPOTrainer):  # type: ignore[misc]
    """Odds ratio preference optimisation (Hong 2024, arXiv:2403.07691)."""


class CPO(PreparedTrainer, CPOTrainer):  # type: ignore[misc]
    """Contrastive preference optimisation (Xu 2024, arXiv:2401.08417); SimPO (Meng 2024, arXiv:2405.14734)."""


class Reward(PreparedTrainer, RewardTrainer):  # type: ignore[misc]
    """A model that scores answers (Bradley and Terry 1952)."""


class ReferenceCheck(TrainerCallback):  # type: ignore[misc]
    """Stops a run whose reference is not the model it starts from: trl says nothing, and learns from the difference."""

    def __init__(self, largest: float) -> None:
        self.largest = largest

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Look at the rewards and divergences of the first step, which are what was learned so far: nothing."""
        if state.global_step != 1 or not logs:
            return
        for name in ("rewards/chosen", "rewards/rejected", "kl", "objective/kl"):
            reward = float(logs.get(name, 0.0))
            if abs(reward) > self.largest:
                raise CheckFailed(
                    f"align: in the first step {name} is {shown(reward)} and not 0 (the loss is {logs.get('loss')}), "
                    "so the reference already differs from the trained model: by dropout, by rounding, or by a method "
                    "whose copies differ. Set align.dtype to float32, or raise align.max_start = "
                    f"{shown(self.largest)}."
                )


class LossAboveStart(TrainerCallback):  # type: ignore[misc]
    """Warns, once, that pairs are separated worse than before the first step."""

    def __init__(self) -> None:
        self.warned = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Whether it warned before an interruption."""
        losses = [float(entry["loss"]) for entry in state.log_history if "loss" in entry]
        self.warned = any(above_start(losses[:end]) for end in range(LAST, len(losses) + 1))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Look at the last losses; those of before an interruption are among them."""
        if self.warned or "loss" not in (logs or {}):
            return
        latest = (float(entry["loss"]) for entry in reversed(state.log_history) if "loss" in entry)
        losses = list(islice(latest, LAST))
        self.warned = len(losses) == LAST and above_start(losses) is not None
        if self.warned:
            print(
                f"align: the loss is above ln 2 = 0.693 at step {state.global_step}: the model separates chosen from "
                "rejected answers less well than before the first step. Lower align.learning_rate, or raise "
                "align.arguments.beta.",
                flush=True,
            )
