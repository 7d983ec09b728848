"""Training of a classifier: a head that reads a prompt at its last token, and what is tuned below it.

Shapes: `B` rows of a batch, `T` tokens of the longest prompt, `C` classes.
"""

from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from tasks.core.numbers import counted, shown
from tasks.models.head import LAYER, filled
from tasks.train.classes import LabelledRows, class_weights
from tasks.train.row_trainer import RowTrainer, make_trainer
from tasks.train.settings import Settings
from tasks.training import loop


class ClassTrainer(RowTrainer):
    """The loss is the mean over rows of the cross entropy times the weight of the row's class.

    A mean over rows, so it is the same however they stand in batches; that of weights is 1 where they are balanced.
    """

    weights: torch.Tensor
    """Of each class (C,)."""

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of each row (B,), by logits (B, C) and the numbers of the classes (B,)."""
        return cross_entropy(logits, labels, reduction="none") * self.weights.to(logits.device)[labels]

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch; `num_items_in_batch` counts the labels of a larger one of which it is a part."""
        labels = inputs["labels"]
        read = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        outputs = model(**read, use_cache=False)
        total = self.losses(outputs.logits.float(), labels).sum()
        items = labels.numel() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = self.finite(total / items)
        return (loss, outputs) if return_outputs else loss


class LabelTrainer(ClassTrainer):
    """For any number of classes a row: the mean over rows and classes of the binary cross entropy, in which a class
    that applies counts by its weight (torch's `pos_weight`)."""

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of each class of each row (B, C), by logits and labels of that shape, where 1 is a class that applies."""
        weights = self.weights.to(logits.device)
        return binary_cross_entropy_with_logits(logits, labels, pos_weight=weights, reduction="none")


class Collator:
    """Rows to a batch: prompts (B, T), filled up on the right, their mask, and the numbers of their classes (B,), or
    for any number of classes a row which apply (B, C)."""

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
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    getattr(base, LAYER).requires_grad_(True)  # `freeze` names blocks, and a head that stays zero tells nothing
    collator = Collator(model.config.pad_token_id)
    kind = LabelTrainer if rows.several else ClassTrainer
    trainer = make_trainer(kind, model, tokenizer, rows, validation, settings, scratch, collator)
    trainer.weights = torch.tensor(class_weights(settings, rows))
    sizes = rows.sizes()
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    a_row = f", {shown(sum(sizes) / len(rows), 3)} a row" if rows.several else ""
    print(
        f"train: {counted(len(sizes), 'classes')}{a_row}; the largest, {rows.classes[largest]!r}, has "
        f"{shown(100 * sizes[largest] / len(rows), 3)} % of the rows, the smallest {counted(min(sizes), 'rows')}",
        flush=True,
    )
    work = loop.Workload(rows.counts(), len(rows), rows.longest)
    return loop.train("train", trainer, settings, scratch, work, settings.patience, passes)
