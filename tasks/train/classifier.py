"""Training of a classifier: a head that reads a prompt at its last token, and what is tuned below it.

Shapes: `B` rows of a batch, `T` tokens of the longest prompt, `C` classes.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import Trainer
from trl.trainer.sft_config import SFTConfig

from tasks.core.errors import CheckFailed, SettingsError
from tasks.core.numbers import counted, shown
from tasks.core.paths import PATHS
from tasks.models.head import LAYER, filled
from tasks.models.private_transformers import Ordered
from tasks.train.classes import LabelledRows, class_weights
from tasks.train.settings import Settings
from tasks.training import loop
from tasks.training.adapters import check_tuning, peft_configuration
from tasks.training.arguments import arguments, width
from tasks.training.callbacks import MonitorCallback
from tasks.training.launch import world
from tasks.training.pass_through import ACTING, WATCHING
from tasks.training.private_sharding import SharedCheckpoints
from tasks.training.samplers import LengthGroupedSampler
from tasks.training.schedule import assumed
from tasks.training.sharding import mark

READ = (*ACTING, *WATCHING, "train_sampling_strategy")
"""Arguments that act here."""


class ClassTrainer(SharedCheckpoints, Ordered, Trainer):  # type: ignore[misc]
    """transformers' trainer; the loss is the mean over rows of the cross entropy times the weight of the row's class.

    A mean over rows, so it is the same however they stand in batches; that of weights is 1 where they are balanced.
    """

    order: LengthGroupedSampler | None = None
    weights: torch.Tensor
    """Of each class (C,)."""

    def sampler(self) -> LengthGroupedSampler | None:
        """See `Ordered`."""
        return self.order

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch; of `num_items_in_batch` rows where it is a part of a larger one."""
        numbers = inputs["labels"]  # (B,)
        read = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        outputs = model(**read, use_cache=False)
        losses = cross_entropy(outputs.logits.float(), numbers, reduction="none")  # (B, C) to (B,)
        total = (losses * self.weights.to(losses.device)[numbers]).sum()
        rows = len(numbers) if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = total / rows
        if not math.isfinite(value := loss.item()):
            raise CheckFailed(
                f"train: the loss is {value} in step {self.state.global_step + 1}; lower train.learning_rate, lengthen "
                "train.warmup_steps, or set train.dtype to float32."
            )
        return (loss, outputs) if return_outputs else loss


class Collator:
    """Rows to a batch: prompts (B, T), filled up on the right, their mask, and the numbers of their classes (B,)."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, mask = filled([row["input_ids"] for row in rows], self.pad)
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}


def fit(
    model: Any,
    tokenizer: Any,
    rows: LabelledRows,
    validation: LabelledRows | None,
    settings: Settings,
    scratch: Path,
    passes: Path | None = None,
) -> loop.TrainingResult:
    """Train what is trainable of `model`, a classifier, and its head, from the last checkpoint in `scratch` if any.

    `passes`: see `loop.train`. Raises `CheckFailed` if a loss is not a number or no weight changed, `SettingsError` for
    arguments without effect.
    """
    if settings.patience and validation is None:
        raise SettingsError(
            f"{PATHS.params}: train.patience needs the validation split, which is empty; set it to null."
        )
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    getattr(base, LAYER).requires_grad_(True)  # `freeze` names blocks, and a head that stays zero tells nothing
    values = _arguments(settings, scratch, evaluated=validation is not None, size=width(model.config))
    values.remove_unused_columns = False
    trainer = ClassTrainer(
        model=model,
        args=values,
        train_dataset=rows,
        eval_dataset=validation,
        data_collator=Collator(model.config.pad_token_id),
        processing_class=tokenizer,
        callbacks=[MonitorCallback("train", settings)],
        optimizers=(loop.optimizer(settings, model, values), None),
    )
    trainer.model_accepts_loss_kwargs = True  # the loss of a part of a batch is divided by the rows of the whole
    trainer.weights = torch.tensor(class_weights(settings, rows))
    mark(trainer, settings)
    if settings.group_by_length:
        trainer.order = LengthGroupedSampler(rows, settings.batch_size * world(settings), settings.seed)
    sizes = rows.sizes()
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    print(
        f"train: {counted(len(sizes), 'classes')}; the largest, {rows.classes[largest]!r}, has "
        f"{shown(100 * sizes[largest] / len(rows), 3)} % of the rows, the smallest {counted(min(sizes), 'rows')}",
        flush=True,
    )
    work = loop.Workload(rows.counts(), len(rows), rows.longest)
    return loop.train("train", trainer, settings, scratch, work, settings.patience, passes)


def validate(settings: Settings, scratch: Path) -> None:
    """Raise what `fit` would raise for the settings alone."""
    peft_configuration("train", settings, "SEQ_CLS")
    check_tuning("train", settings, scores=True)
    _arguments(assumed(settings), scratch, evaluated=True)


def _arguments(settings: Settings, scratch: Path, *, evaluated: bool, size: int | None = None) -> Any:
    return arguments(
        "train",
        SFTConfig,
        settings,
        scratch,
        eval_steps=settings.eval_steps if evaluated else None,
        patience=bool(settings.patience),
        width=size,
        further=settings.arguments,
        acting=READ,
    )
