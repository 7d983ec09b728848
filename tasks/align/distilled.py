"""The objective `distill`: the rows, by what a teacher on a server said of each of their tokens (stage `distill`).

The divergence from the teacher to the student, over the tokens that it told of and one class for all others. Where a
server tells k of V likelihoods this is what is known of the whole divergence, and its lower bound; renormalised to the
k, the student would learn nothing of how likely the others are, and too sharp a distribution (Anshumann 2025,
arXiv:2503.16870). trl's server distillation does the same (`loss_add_tail`), on answers of the student, for which the
server would be asked again at every step.

Shapes: `B` rows of a batch, `T` tokens, `K` labelled positions in all, `W` tokens told of at each, `V` vocabulary.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from tasks.align.items import Row
from tasks.align.trainers import PreparedTrainer
from tasks.rows.canonical import IGNORED
from tasks.training.validation import TokenMean

CERTAIN = -1e-6
"""Largest logarithm (nats) of what the tokens told of have together: the record is rounded, and 1 would leave log 0."""


@dataclass
class DistillConfig(SFTConfig):  # type: ignore[misc]
    """What the trainer takes beside trl's arguments of supervised training."""

    label_weight: float = field(
        default=0.0, metadata={"help": "share of the loss that is cross-entropy on the rows' own tokens, from 0 to 1"}
    )

    def __post_init__(self) -> None:
        """Raise `ValueError` where the share is none."""
        super().__post_init__()
        if not 0 <= self.label_weight < 1:
            raise ValueError(f"label_weight is {self.label_weight:g}; set it to a share from 0 to below 1")


def item(row: Row, previous: Row) -> Row:
    """A row as the collator reads it."""
    return {name: row[name] for name in ("input_ids", "labels", "top_ids", "top_logprobs")}


def collate(pad_id: int) -> Any:
    """Rows to a batch: ids, mask and labels (B, T), filled up on the right; what the teacher said (K, W)."""

    def batch(items: list[Row]) -> dict[str, Any]:
        ids, labels = ([torch.tensor(row[name]) for row in items] for name in ("input_ids", "labels"))
        count = sum(int((row[1:] != IGNORED).sum()) for row in labels)
        columns = [
            torch.tensor([value for row in items for value in row[name]]) for name in ("top_ids", "top_logprobs")
        ]
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
            "top_ids": columns[0].reshape(count, -1),
            "top_logprobs": columns[1].reshape(count, -1),
        }

    return batch


def divergence(logits: Any, top_ids: Any, top_logprobs: Any) -> Any:
    """Of the student from the teacher at each position, in nats (K).

    `logits` (K, V): the student's. `top_ids`, `top_logprobs` (K, W): tokens and their log-probabilities; -inf fills up.
    KL over W + 1 classes, the last of which has the probability of all tokens that are not among them.
    """
    given = top_logprobs > -torch.inf  # (K, W)
    student = torch.log_softmax(logits.float(), -1).gather(-1, top_ids)  # (K, W)
    teacher = torch.where(given, top_logprobs, 0.0)
    known = torch.where(given, teacher.exp() * (teacher - student), 0.0).sum(-1)
    teacher_rest = _rest(top_logprobs)
    return known + teacher_rest.exp() * (teacher_rest - _rest(student.masked_fill(~given, -torch.inf)))


def _rest(logprobs: Any) -> Any:
    """Logarithm of what tokens with these log-probabilities (K, W) leave to the others (K)."""
    return torch.log(-torch.expm1(torch.logsumexp(logprobs, -1).clamp(max=CERTAIN)))


class _ToldLoss:
    """Before trl's supervised trainer among the bases: the divergence in the place of the cross entropy."""

    args: Any

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean over labelled tokens: of this batch, or of all whose gradients are added up."""
        targets = inputs["labels"][:, 1:]  # (B, T - 1)
        labelled = targets != IGNORED
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        logits = outputs.logits[:, -inputs["labels"].shape[1] :][:, :-1][labelled]  # (K, V)
        total = divergence(logits, inputs["top_ids"], inputs["top_logprobs"]).sum()
        if weight := self.args.label_weight:
            own = cross_entropy(logits.float(), targets[labelled], reduction="sum")
            total = (1 - weight) * total + weight * own
        count = labelled.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = total / count.clamp(min=1)
        return (loss, outputs) if return_outputs else loss


class Distilled(TokenMean, PreparedTrainer, _ToldLoss, SFTTrainer):  # type: ignore[misc]
    """Distillation from likelihoods that are there (Hinton 2015, arXiv:1503.02531)."""

    def __init__(self, **options: Any) -> None:
        collator = collate(options["processing_class"].pad_token_id or 0)
        super().__init__(**options, data_collator=collator)
