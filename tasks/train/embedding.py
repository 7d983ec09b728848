"""Training of an embedding model: a question is to lie nearer to its document than to the others of its batch.

The loss is InfoNCE (van den Oord et al. 2018, arXiv:1807.03748) with the documents of the batch as wrong ones
(Henderson et al. 2017, arXiv:1705.00652), which sentence-transformers calls MultipleNegativesRankingLoss. Its trainer
tokenises in its collator, after the audit of `template`; so the loss is here, on the audited tokens, in the loop that
all stages share.

Shapes: `B` rows of a batch, `N` documents that its rows name as wrong, `T` tokens of the longest text, `D` numbers of a
vector.
"""

from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy, normalize
from torch.utils.checkpoint import checkpoint

from tasks.core.numbers import counted
from tasks.models.embedder import POOLER, Embedder
from tasks.models.head import filled
from tasks.train.row_trainer import RowTrainer, make_trainer
from tasks.train.settings import Settings
from tasks.train.texts import TextRows
from tasks.training import loop


class Collator:
    """Rows to a batch: all questions, their documents, the wrong documents (2B + N, T), filled up on the right.

    `known` (B, B + N) says of each question which documents no row may count as wrong: some row gives them as its
    answer, be it in another batch. The question's own document is among them.
    """

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        texts = [row["texts"][place] for place in (0, 1) for row in rows]
        texts += [text for row in rows for text in row["texts"][2:]]
        marks = [row["marks"][0] for row in rows] + [mark for row in rows for mark in row["marks"][1:]]
        known = torch.tensor([[mark in row["answers"] for mark in marks] for row in rows])
        ids, mask = filled(texts, self.pad)
        rows_of_batch = torch.arange(len(rows))  # first: by it the trainer counts rows
        return {"labels": rows_of_batch, "input_ids": ids, "attention_mask": mask, "known": known}


def contrastive_losses(vectors: torch.Tensor, known: torch.Tensor, temperature: float) -> torch.Tensor:
    """The loss of each question (B,): minus the log-probability of its document among those that may be wrong.

    `vectors` (2B + N, D): of questions, their documents, the wrong documents. `known` (B, B + N): see `Collator`.
    """
    rows = len(known)
    unit = normalize(vectors.float(), dim=-1)
    scores = unit[:rows] @ unit[rows:].T / temperature  # (B, B + N): cosines
    own = torch.arange(rows, device=scores.device)
    spared = known.clone()
    spared[own, own] = False
    return cross_entropy(scores.masked_fill(spared, -torch.inf), own, reduction="none")


class EmbeddingTrainer(RowTrainer):
    """The loss is the mean over questions."""

    embedder: Embedder
    temperature: float
    chunk: int | None
    """Texts that go through the model at one time; None: all of a batch."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch; of `num_items_in_batch` rows where it is a part of a larger one."""
        vectors = self._vectors(model, inputs["input_ids"], inputs["attention_mask"])
        losses = contrastive_losses(vectors, inputs["known"], self.temperature)
        rows = len(losses) if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = self.finite(losses.sum() / rows)
        return (loss, {"loss": loss}) if return_outputs else loss

    def _vectors(self, model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Vectors (2B + N, D); with `chunk` the activations of one part at a time are held, and computed again in the
        backward pass (GradCache: Gao et al. 2021, arXiv:2101.06983)."""
        if not self.chunk or len(ids) <= self.chunk or not torch.is_grad_enabled():
            return self.embedder.vectors(model, ids, mask)  # type: ignore[no-any-return]
        return torch.cat([
            checkpoint(self.embedder.vectors, model, *part, use_reentrant=False)
            for part in zip(torch.split(ids, self.chunk), torch.split(mask, self.chunk), strict=True)
        ])  # fmt: skip


def fit(
    model: Any,
    tokenizer: Any,
    embedder: Embedder,
    rows: TextRows,
    validation: TextRows | None,
    settings: Settings,
    scratch: Path,
    passes: Path | None = None,
) -> loop.TrainingResult:
    """Train what is trainable of `model`, which has no head, from the last checkpoint in `scratch` if any.

    `passes`: see `loop.train`. Raises `CheckFailed` if a loss is not a number or no weight changed, `SettingsError` for
    arguments without effect.
    """
    for name, weight in model.named_parameters():
        if f".{name}".rpartition(f".{POOLER}")[1]:
            weight.requires_grad_(False)
    trainer = make_trainer(
        EmbeddingTrainer, model, tokenizer, rows, validation, settings, scratch, Collator(tokenizer.pad_token_id)
    )
    trainer.embedder, trainer.temperature = embedder, settings.contrast.temperature
    trainer.chunk = settings.contrast.chunk
    trainer.label_names = ["labels"]  # the model takes none, so the trainer would not look for a loss in validation
    counts = rows.counts()
    print(
        f"train: {counted(counts['questions'], 'questions')} in train and validation; each is compared with "
        f"{counted(min(settings.batch_size, len(rows)), 'documents')} a batch, and with the rows' own negatives",
        flush=True,
    )
    work = loop.Workload(counts, len(rows), rows.longest, divides=False)
    return loop.train("train", trainer, settings, scratch, work, settings.patience, passes)
