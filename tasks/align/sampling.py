"""Objectives that learn from answers that the model gives while it is trained, as trl's trainers take ready ids."""

from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

from tasks.align import guides
from tasks.align.objectives import OBJECTIVES
from tasks.align.rewards import worth
from tasks.align.settings import Settings
from tasks.align.trainers import Ready
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS, Paths
from tasks.models.private_transformers import Ordered, locate
from tasks.rows.canonical import IGNORED
from tasks.training.private_trl import (
    GKDTrainer,
    OnlineDPOTrainer,
    PaddedPrompts,
    PromptIds,
    answer_log_probabilities,
    pair_log_probabilities,
)
from tasks.training.samplers import RepeatedPromptSampler

REFERENCE = "reference"
"""Folder, beside the checkpoints, of a whole model as it was before training, with which trl compares it."""


class Grouped(Ordered, PromptIds, Ready):
    """GRPO and RLOO: prompts come as ids, in an order that a run which goes on finds again."""

    def sampler(self) -> RepeatedPromptSampler:
        """Each prompt as often as it is answered, batch by batch."""
        asked: Any = self.args  # type: ignore[attr-defined]
        repeats = asked.num_iterations * asked.steps_per_generation
        batch = asked.generation_batch_size // asked.num_generations
        return RepeatedPromptSampler(len(self.train_dataset), asked.num_generations, batch, repeats, asked.seed)  # type: ignore[attr-defined]

    def probe(self, index: int, answer: int, count: int) -> Any:
        """A loss of `count` times item `index` with `answer` tokens behind it, of which only the memory counts."""
        ids = _probed(self, index, answer).repeat(count, 1)
        return answer_log_probabilities(self, ids, torch.ones_like(ids), answer).sum()


class GRPO(Grouped, GRPOTrainer):  # type: ignore[misc]
    """Group relative policy optimisation (Shao 2024, arXiv:2402.03300) and what became of it."""


class RLOO(Grouped, RLOOTrainer):  # type: ignore[misc]
    """REINFORCE, each answer compared with the others to its prompt (Ahmadian 2024, arXiv:2402.14740)."""


class OnlineDPO(PaddedPrompts, Ready, OnlineDPOTrainer):  # type: ignore[misc]
    """DPO on two answers of the model, ranked by their reward (Guo 2024, arXiv:2402.04792)."""

    def padded(self, prompts: Any) -> "_Padded":
        """See `PaddedPrompts`."""
        return _Padded(self.processing_class, prompts)

    def probe(self, index: int, answer: int, count: int) -> Any:
        """See `Grouped.probe`; both answers go forward at once."""
        ids = _probed(self, index, answer).repeat(2 * count, 1)
        mask = torch.ones_like(ids)
        parts = (ids[:, :-answer], mask[:, :-answer], ids[:, -answer:], mask[:, -answer:])
        return pair_log_probabilities(self, *parts).sum()


class GKD(Ready, GKDTrainer):  # type: ignore[misc]
    """Distillation on answers of the student and of the rows (Agarwal 2023, arXiv:2306.13649)."""


class _Padded:
    """Stands for a tokenizer that is asked for the ids of prompts: it has them."""

    chat_template = None

    def __init__(self, tokenizer: Any, prompts: Any) -> None:
        self.tokenizer, self.prompts = tokenizer, prompts

    def __call__(self, **asked: Any) -> dict[str, Any]:
        ids, mask = _left(self.prompts, self.tokenizer.pad_token_id)
        return {"input_ids": ids, "attention_mask": mask}


def own(settings: Settings, longest: int) -> dict[str, Any]:
    """Arguments that stand in other keys of `settings`; nothing is cut anywhere. `longest`: tokens of a prompt."""
    objective = OBJECTIVES[settings.objective]
    if objective.grouped:
        return {
            "max_completion_length": settings.answer_tokens,
            "num_generations": settings.answers,
            "reward_weights": [reward.weight for reward in settings.rewards],
        }
    if objective.taught:
        return {"max_new_tokens": settings.answer_tokens, "max_length": None}
    return {
        "max_new_tokens": settings.answer_tokens,
        "max_length": longest + settings.answer_tokens,
        "reward_weights": [reward.weight for reward in settings.rewards],
    }


def check(values: Any, settings: Settings) -> None:
    """Raise `SettingsError` where a run that goes on from a checkpoint would have to give answers anew."""
    cycle = getattr(values, "steps_per_generation", 1) * getattr(values, "num_iterations", 1)
    if cycle > 1 and settings.checkpoint_steps * settings.gradient_accumulation % cycle:
        raise SettingsError(
            f"{PATHS.params}: align.arguments has answers used for {cycle} forward passes, and a checkpoint every "
            f"{settings.checkpoint_steps} steps would fall between; make align.checkpoint_steps a multiple of "
            f"{max(1, cycle // settings.gradient_accumulation)}."
        )


def options(settings: Settings, paths: Paths, tokenizer: Any, model: Any, values: Any, scratch: Path) -> dict[str, Any]:
    """What the trainer needs besides a model and prompts: rewards or a teacher, and what the model is compared with."""
    objective = OBJECTIVES[settings.objective]
    if objective.taught:
        from transformers import AutoModelForCausalLM

        folder = guides.model(paths, settings.teacher or "", "align.teacher")
        teacher = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
        return {"teacher_model": teacher, "data_collator": collate(tokenizer.pad_token_id)}
    if objective.grouped and values.beta and not hasattr(model, "peft_config"):
        # trl loads the reference from where the model says it came from, which lacks tokens that were added since
        model.save_pretrained(scratch / REFERENCE)
        locate(model, scratch / REFERENCE)
    rewards: dict[str, Any] = {"reward_funcs": worth(settings, paths, tokenizer)}
    return rewards if objective.grouped else {**rewards, "data_collator": _columns}


def collate(pad: int) -> Any:
    """Items to a batch for GKD: input_ids, labels and prompts, filled up on the left with the token `pad`."""

    def batch(items: list[dict[str, Any]]) -> dict[str, Any]:
        ids, mask = _left([item["prompt"] + item["reference_ids"] for item in items], pad)
        labels = ids.clone()
        for line, item in enumerate(items):
            labels[line, : ids.shape[1] - len(item["reference_ids"])] = IGNORED
        prompts, prompt_mask = _left([item["prompt"] for item in items], pad)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "prompts": prompts,
            "prompt_attention_mask": prompt_mask,
        }

    return batch


def _columns(items: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [item[name] for item in items] for name in items[0]}


def _left(rows: list[list[int]], pad: int) -> tuple[Any, Any]:
    """Ids and mask of `rows`, filled up on the left."""
    tensors = [torch.tensor(row) for row in rows]
    ids = pad_sequence(tensors, batch_first=True, padding_value=pad, padding_side="left")
    mask = pad_sequence([torch.ones_like(row) for row in tensors], batch_first=True, padding_side="left")
    return ids, mask


def _probed(trainer: Any, index: int, answer: int) -> Any:
    prompt = trainer.train_dataset[index]["prompt"]
    return torch.tensor([prompt + prompt[-1:] * answer], device=trainer.args.device)
