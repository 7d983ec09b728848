"""Objectives that learn from answers that the model gives while it is trained, as trl's trainers take ready ids.

Shapes: `B` rows of a batch, `T` tokens. Ids and masks are (B, T), padded on the left.
"""

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

from tasks.align import generation, teacher, values
from tasks.align.objectives import OBJECTIVES
from tasks.align.rewards import RewardFunction, reward_functions
from tasks.align.settings import Settings
from tasks.align.trainers import PreparedTrainer
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS, Paths
from tasks.models.classes import from_pretrained
from tasks.models.loading import check_finite
from tasks.models.private_transformers import Ordered, locate
from tasks.models.record import base_folder
from tasks.rows.canonical import IGNORED
from tasks.training import distributed
from tasks.training.private_trl import (
    GKDTrainer,
    GMPOTrainer,
    OnlineDPOTrainer,
    PaddedPrompts,
    PromptIds,
    answer_log_probabilities,
    pair_log_probabilities,
)
from tasks.training.samplers import RepeatedPromptSampler

REFERENCE = "reference"
"""Folder, beside the checkpoints, of a whole model as it was before training, with which trl compares it."""


class Grouped(Ordered, PromptIds, PreparedTrainer):
    """GRPO and RLOO: prompts come as ids, in an order that a run which goes on finds again."""

    def sampler(self) -> RepeatedPromptSampler:
        """Each prompt as often as it is answered, batch by batch."""
        args: Any = self.args
        repeats = args.num_iterations * args.steps_per_generation
        prompts_per_batch = args.generation_batch_size // args.num_generations
        prompts = len(self.train_dataset)  # type: ignore[attr-defined]
        return RepeatedPromptSampler(prompts, args.num_generations, prompts_per_batch, repeats, args.seed)

    def probe(self, index: int, answer_tokens: int, copies: int) -> Any:
        """A loss of `copies` times item `index` with `answer_tokens` tokens behind it; only its memory counts."""
        ids = self.probe_ids(index, answer_tokens, copies)
        return answer_log_probabilities(self, ids, torch.ones_like(ids), answer_tokens).sum()

    def probe_ids(self, index: int, answer_tokens: int, copies: int) -> Any:
        """Item `index` with `answer_tokens` tokens behind it, `copies` times."""
        return _probe_ids(self, index, answer_tokens).repeat(copies, 1)


class GRPO(Grouped, GRPOTrainer):  # type: ignore[misc]
    """Group relative policy optimisation (Shao 2024, arXiv:2402.03300) and what became of it."""


class GMPO(Grouped, GMPOTrainer):  # type: ignore[misc]
    """GRPO with the geometric mean of an answer's probability ratios (Zhao 2025, arXiv:2507.20673)."""


class RLOO(Grouped, RLOOTrainer):  # type: ignore[misc]
    """REINFORCE, each answer compared with the others to its prompt (Ahmadian 2024, arXiv:2402.14740)."""


class OnlineDPO(PaddedPrompts, PreparedTrainer, OnlineDPOTrainer):  # type: ignore[misc]
    """DPO on two answers of the model, ranked by their reward (Guo 2024, arXiv:2402.04792)."""

    stats: dict[str, list[float]]
    reward_funcs: list[RewardFunction]
    reward_func_names: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = zip(self.reward_funcs, self.reward_func_names, strict=True)
        self.reward_funcs = [self._noted(function, name) for function, name in named]

    def _noted(self, function: RewardFunction, name: str) -> RewardFunction:
        """`function`, with its mean in trl's next line of log, where other trainers have it."""

        def rewarded(**columns: Any) -> list[float]:
            values = function(**columns)
            self.stats.setdefault(f"rewards/{name}/mean", []).append(fmean(values))
            return values

        return rewarded

    def padded(self, prompts: Any) -> "_PromptTokenizer":
        """See `PaddedPrompts`."""
        return _PromptTokenizer(self.processing_class, prompts)

    def probe(self, index: int, answer_tokens: int, copies: int) -> Any:
        """See `Grouped.probe`; both answers go forward at once."""
        ids = _probe_ids(self, index, answer_tokens).repeat(2 * copies, 1)
        mask = torch.ones_like(ids)
        parts = (ids[:, :-answer_tokens], mask[:, :-answer_tokens], ids[:, -answer_tokens:], mask[:, -answer_tokens:])
        return pair_log_probabilities(self, *parts).sum()


class GKD(PreparedTrainer, GKDTrainer):  # type: ignore[misc]
    """Distillation on answers of the student and of the rows (Agarwal 2023, arXiv:2306.13649)."""


class _PromptTokenizer:
    """Stands for a tokenizer that is asked for the ids of prompts: it has them."""

    chat_template = None

    def __init__(self, tokenizer: Any, prompts: Any) -> None:
        self.tokenizer, self.prompts = tokenizer, prompts

    def __call__(self, **kwargs: Any) -> dict[str, Any]:
        ids, mask = padded(self.prompts, self.tokenizer.pad_token_id, "left")
        return {"input_ids": ids, "attention_mask": mask}


def arguments_from_settings(settings: Settings, longest: int) -> dict[str, Any]:
    """Arguments that stand in other keys of `settings`; nothing is cut anywhere. `longest`: tokens of a prompt."""
    objective = OBJECTIVES[settings.objective]
    if objective.self_taught:
        return {
            "max_completion_length": settings.answer_tokens,
            "num_generations": settings.answers,
            "max_prompt_length": None,
        }
    if objective.grouped:
        return {
            "max_completion_length": settings.longest_answer,
            "num_generations": settings.answers,
            "reward_weights": [reward.weight for reward in settings.rewards],
            **generation.arguments(settings, longest),
        }
    if objective.other_tokens:
        return {"max_completion_length": settings.answer_tokens, "max_length": None}
    if objective.uses_teacher:
        return {"max_new_tokens": settings.answer_tokens, "max_length": None}
    return {
        "max_new_tokens": settings.answer_tokens,
        "max_length": longest + settings.answer_tokens,
        "reward_weights": [reward.weight for reward in settings.rewards],
    }


def passes_an_epoch(settings: Settings, prompts: int) -> int:
    """Forward passes of a grouped objective in which each of `prompts` is answered once, and its answers are used."""
    further = {**OBJECTIVES[settings.objective].preset, **settings.arguments}
    at_once = settings.batch_size * settings.launch.world
    together = further.get("generation_batch_size") or at_once * (
        further.get("steps_per_generation") or settings.gradient_accumulation
    )
    rounds = -(-prompts // (together // settings.answers))
    return int(rounds * (together // at_once) * further.get("num_iterations", 1))


def together(configuration: Any, settings: Settings) -> int:
    """Steps that use the answers of one round: between them no checkpoint can be resumed without answering anew."""
    passes = getattr(configuration, "steps_per_generation", 1) * getattr(configuration, "num_iterations", 1)
    return int(passes // math.gcd(passes, settings.gradient_accumulation))


def check(configuration: Any, settings: Settings) -> None:
    """Raise `SettingsError` where a run that goes on from a checkpoint would have to give answers anew."""
    steps = together(configuration, settings)
    if settings.checkpoint_steps % steps:
        raise SettingsError(
            f"{PATHS.params}: align.arguments reuses answers for {steps} steps, and a checkpoint every "
            f"{settings.checkpoint_steps} steps would fall between those steps; make align.checkpoint_steps a "
            f"multiple of {steps}."
        )


def options(
    settings: Settings, paths: Paths, tokenizer: Any, model: Any, configuration: Any, scratch: Path
) -> dict[str, Any]:
    """What the trainer needs besides a model and prompts: rewards or a teacher, and what the model is compared with."""
    objective = OBJECTIVES[settings.objective]
    if objective.uses_teacher:
        folder = teacher.check(settings, paths, tokenizer)
        guide = from_pretrained(folder, dtype=torch.float32)
        check_finite(guide, folder)
        if objective.other_tokens:
            return {"teacher_model": guide, "folder": str(folder)}
        return {"teacher_model": guide, "data_collator": collate(tokenizer.pad_token_id)}
    if objective.self_taught:
        return {}
    own = settings.generation.engine == "vllm" and not settings.generation.server
    if hasattr(model, "peft_config") or settings.generation.server:
        generation.check_vocabulary(settings, model, base_folder(paths))
    if objective.grouped and (configuration.beta or own) and not hasattr(model, "peft_config"):
        # trl loads the reference, and the engine the model, from where the model says it came from, which lacks tokens
        # that were added since; the engine wants a tokenizer too
        with distributed.first():
            if not distributed.rank():
                model.save_pretrained(scratch / REFERENCE)
                tokenizer.save_pretrained(scratch / REFERENCE)
        locate(model, scratch / REFERENCE)
    rewards: dict[str, Any] = {"reward_funcs": reward_functions(settings, paths, tokenizer)}
    if objective.uses_values:
        rewards["value"] = values.load(settings, paths, model, tokenizer)
    return rewards if objective.grouped else {**rewards, "data_collator": _columns}


def collate(pad_id: int) -> Any:
    """Items to a batch for GKD: input_ids and labels (B, T) and prompts, padded on the left with `pad_id`."""

    def batch(items: list[dict[str, Any]]) -> dict[str, Any]:
        ids, mask = padded([item["prompt"] + item["reference_ids"] for item in items], pad_id, "left")
        labels = ids.clone()
        for row, item in enumerate(items):
            labels[row, : ids.shape[1] - len(item["reference_ids"])] = IGNORED
        prompts, prompt_mask = padded([item["prompt"] for item in items], pad_id, "left")
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


def padded(rows: list[list[int]], pad_id: int, side: str) -> tuple[Any, Any]:
    """Ids and mask (B, T) of `rows`, filled up on the left or the right."""
    tensors = [torch.tensor(row) for row in rows]
    ids = pad_sequence(tensors, batch_first=True, padding_value=pad_id, padding_side=side)
    mask = pad_sequence([torch.ones_like(row) for row in tensors], batch_first=True, padding_side=side)
    return ids, mask


def _probe_ids(trainer: Any, index: int, answer_tokens: int) -> Any:
    prompt = trainer.train_dataset[index]["prompt"]
    return torch.tensor([prompt + prompt[-1:] * answer_tokens], device=trainer.args.device)
