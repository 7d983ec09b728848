"""What training uses of trl that its documentation does not promise: when an upgrade moves a name, mend it here.

Nothing of trl is imported before a function is called, so stages without preferences load no experimental trainer.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

EXPERIMENTAL = {
    "CPO": "cpo",
    "GMPO": "gmpo",
    "ORPO": "orpo",
    "GKD": "gkd",
    "GOLD": "gold",
    "OnlineDPO": "online_dpo",
    "SDFT": "sdft",
}
"""Modules of `trl.experimental`, which trl may move in any release, by the prefix of the names taken from each."""


def __getattr__(name: str) -> Any:
    """The configuration or the trainer of an experimental objective, such as CPOConfig and CPOTrainer."""
    prefix = name.removesuffix("Config").removesuffix("Trainer")
    if prefix == name or prefix not in EXPERIMENTAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"trl.experimental.{EXPERIMENTAL[prefix]}"), name)


class Prepared:
    """Before a trainer of trl among the bases: its rows are ready, so it neither renders nor tokenises them."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


class PromptIds:
    """Before GRPO's or RLOO's trainer among the bases: prompts are token ids."""

    def _tokenize_prompts(self, prompts: Any) -> tuple[Any, None, dict[str, Any]]:
        return prompts, None, {}


class Rollouts:
    """Before GRPO's trainer among the bases: it is told what is answered, and what the answers were worth."""

    items: list[dict[str, Any]]
    """What is answered now, an item an answer."""

    def rewarded(self, rewards: Any) -> None:
        """Called with what each answer was worth by each reward (B, R)."""
        raise NotImplementedError

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.items = inputs
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        return batch

    def _calculate_rewards(self, *args: Any) -> Any:
        rewards = super()._calculate_rewards(*args)  # type: ignore[misc]
        self.rewarded(rewards)
        return rewards


class OwnLoss:
    """Before RLOO's trainer among the bases: what is made of prompts, and the loss of it, are the trainer's own."""

    def sampled(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Answers to the prompts of `items` and what else the loss reads: tensors with a row an answer."""
        raise NotImplementedError

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """The loss of a batch of what `sampled` returned."""
        raise NotImplementedError

    def restore(self, checkpoint: Path) -> None:
        """Read what is the trainer's own in a checkpoint."""
        raise NotImplementedError

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return self.sampled(inputs)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        return self.loss(model, inputs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
        self.restore(Path(resume_from_checkpoint))


class PaddedPrompts:
    """Before the trainer of online DPO among the bases: prompts are token ids, where trl renders and tokenises text."""

    processing_class: Any

    def padded(self, prompts: Any) -> Any:
        """What stands for the tokenizer while trl generates: called as one, it returns the ids of `prompts`."""
        raise NotImplementedError

    def _generate(self, model: Any, prompts: Any, images: None = None) -> Any:
        tokenizer = self.processing_class
        self.processing_class = self.padded(prompts)
        try:
            return super()._generate(model, [""] * len(prompts), images)  # type: ignore[misc]
        finally:
            self.processing_class = tokenizer


class StudentOffsets:
    """Before GOLD's trainer among the bases: where tokens of answers of the student begin and end is the trainer's own.

    trl counts special tokens by the letters of their names, which the text that the teacher reads need not have.
    """

    def offsets(self, labels: Any) -> Any:
        """First and last byte of each labelled token (B, T, 2)."""
        raise NotImplementedError

    def _maybe_add_completion_byte_offsets(self, updated_slice: dict[str, Any]) -> None:
        updated_slice["byte_offsets"] = self.offsets(updated_slice["labels"])


class PromptsAndContexts:
    """Before the trainer of self-distillation among the bases: prompts, and those of the teacher, are token ids."""

    def __init__(self, **options: Any) -> None:
        from trl.experimental.sdft.sdft_trainer import DemonstrationTeacherContextBuilder

        class Ready(DemonstrationTeacherContextBuilder):  # type: ignore[misc]
            def _compose_teacher_prompt(self, prompt: Any, privileged_context: Any) -> Any:
                return privileged_context

        super().__init__(**options)
        self.teacher_context_builder = Ready(self)

    def _tokenize_prompts(self, prompts: Any) -> Any:
        return prompts


class OwnDivergence:
    """Before KTO's trainer among the bases: validation compares each row with its own divergence, as one process does.

    trl takes the mean over what all processes have in hand, so the number would depend on how many they are. Of what it
    gathers for a batch that comes first.
    """

    def _compute_loss(self: Any, *args: Any, **kwargs: Any) -> Any:
        gather = self.accelerator.gather_for_metrics

        def keep_the_first(value: Any) -> Any:
            self.accelerator.gather_for_metrics = gather
            return value

        if self.calculate_KL and not self.model.training:
            self.accelerator.gather_for_metrics = keep_the_first
        try:
            return super()._compute_loss(*args, **kwargs)  # type: ignore[misc]
        finally:
            vars(self.accelerator).pop("gather_for_metrics", None)


def answer_log_probabilities(trainer: Any, ids: Any, mask: Any, answer: int) -> Any:
    """Of the last `answer` tokens in each row of `ids` (B, T), by GRPO's or RLOO's trainer: (B, answer), in nats."""
    return trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, answer)[0]


def look(trainer: Any, model: Any, ids: Any, mask: Any, answer: int, *, entropy: bool) -> tuple[Any, Any]:
    """As `answer_log_probabilities`, by `model`; and the entropies of what might have come, where they are wanted."""
    return tuple(trainer._get_per_token_logps_and_entropies(model, ids, mask, answer, compute_entropy=entropy)[:2])


def generate(trainer: Any, prompts: Any) -> tuple[Any, Any, Any]:
    """Prompts and answers as lists of ids, and answers as text, by GRPO's or RLOO's trainer."""
    return tuple(trainer._generate(prompts))


def generate_turns(trainer: Any, prompts: list[list[int]], most: int, stop_ids: set[int]) -> list[list[int]]:
    """A turn of at most `most` tokens behind each prompt, by GRPO's trainer, with the token that ends it unless cut."""
    trainer.eos_token_ids = trainer.generation_config.eos_token_id = sorted(stop_ids)
    trainer.generation_config.max_new_tokens = most
    turns: list[list[int]] = trainer._generate_single_turn(prompts, None, {}, 1)[0]
    return turns


@contextmanager
def likeliest(trainer: Any) -> Iterator[None]:
    """Have GRPO's trainer take the likeliest token each time, which draws nothing."""
    kept = trainer.generation_config, trainer.generation_kwargs
    trainer.generation_config = type(kept[0])(
        do_sample=False, pad_token_id=kept[0].pad_token_id, bos_token_id=kept[0].bos_token_id, disable_compile=True
    )
    trainer.generation_kwargs = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    try:
        yield
    finally:
        trainer.generation_config, trainer.generation_kwargs = kept


def answer_rewards(trainer: Any, items: Any, prompts: Any, texts: Any, ids: Any) -> Any:
    """What each answer is worth by each reward (B, R), by GRPO's or RLOO's trainer."""
    return trainer._calculate_rewards(items, prompts, texts, ids)


def log_figure(trainer: Any, name: str, value: float) -> None:
    """Add to the mean of `name` in trl's next line of log."""
    trainer._metrics["train" if trainer.model.training else "eval"][name].append(value)


def send_merged(trainer: Any) -> None:
    """Have the engine of GRPO's or RLOO's trainer get an adapter merged into copies of the base's weights.

    trl merges it into the base itself and takes it out again, by which a base of 16 bits drifts a little in each round.
    """
    engine = trainer.vllm_generation
    engine._iter_named_params = partial(_merged, engine)


def _merged(engine: Any) -> Iterator[tuple[str, Any]]:
    """The weights of the model of `engine` under the names that vLLM expects, those with an adapter merged with it."""
    model = engine.model
    for name, value in model.named_parameters():
        if model.prefix in name or "original_module" in name:
            continue
        weight = value.data
        path, layer, _ = name.rpartition(".base_layer.weight")
        if layer:
            delta = model.get_submodule(path).get_delta_weight("default").detach()
            weight = (weight.float() + delta.float()).to(weight.dtype)
        plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
        yield engine._fix_param_name_to_vllm(plain, extra_prefixes=["modules_to_save.default."]), weight


def pair_log_probabilities(trainer: Any, prompts: Any, prompt_mask: Any, answers: Any, answer_mask: Any) -> Any:
    """Of each token of `answers` (B, T) behind `prompts` (B, P), by the trainer of online DPO: (B, T), in nats."""
    return trainer._forward(trainer.model, prompts, prompt_mask, answers, answer_mask)


def forget_figures(trainer: Any) -> None:
    """Clear what trl has collected for its next line of log."""
    for name in ("_metrics", "_stored_metrics"):
        for figures in getattr(trainer, name, {}).values():
            figures.clear()
    if hasattr(trainer, "_total_train_tokens"):
        trainer._total_train_tokens = 0
