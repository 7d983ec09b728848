"""A trainer of rows that are no texts to be continued: what a classifier and an embedding model have in common."""

import math
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import Trainer
from trl.trainer.sft_config import SFTConfig

from tasks.core.errors import CheckFailed
from tasks.models.private_transformers import Ordered
from tasks.train.settings import Settings
from tasks.training import loop
from tasks.training.adapters import check_tuning, peft_configuration
from tasks.training.arguments import arguments, check_patience, width
from tasks.training.callbacks import MonitorCallback
from tasks.training.launch import world
from tasks.training.pass_through import ACTING, WATCHING
from tasks.training.private_sharding import SharedCheckpoints
from tasks.training.samplers import LengthGroupedSampler
from tasks.training.schedule import assumed
from tasks.training.sharding import mark

READ = (*ACTING, *WATCHING, "train_sampling_strategy")
"""Arguments that act here."""


class RowTrainer(SharedCheckpoints, Ordered, Trainer):  # type: ignore[misc]
    """transformers' trainer; what inherits from it computes the loss."""

    order: LengthGroupedSampler | None = None

    def sampler(self) -> LengthGroupedSampler | None:
        """See `Ordered`."""
        return self.order

    def finite(self, loss: torch.Tensor) -> torch.Tensor:
        """`loss`. Raises `CheckFailed` where it is no number."""
        if not math.isfinite(value := loss.item()):
            raise CheckFailed(
                f"train: the loss is {value} in step {self.state.global_step + 1}; lower train.learning_rate, lengthen "
                "train.warmup_steps, or set train.dtype to float32."
            )
        return loss


Kind = TypeVar("Kind", bound=RowTrainer)


def make_trainer(
    kind: type[Kind],
    model: Any,
    tokenizer: Any,
    rows: Any,
    validation: Any | None,
    settings: Settings,
    scratch: Path,
    collator: Any,
) -> Kind:
    """A trainer of `kind` for `rows`; `collator` makes batches of them.

    Raises `SettingsError` for arguments without effect.
    """
    check_patience("train", settings.patience, validation)
    values = _arguments(settings, scratch, evaluated=validation is not None, size=width(model.config))
    values.remove_unused_columns = False
    trainer = kind(
        model=model,
        args=values,
        train_dataset=rows,
        eval_dataset=validation,
        data_collator=collator,
        processing_class=tokenizer,
        callbacks=[MonitorCallback("train", settings)],
        optimizers=(loop.optimizer(settings, model, values), None),
    )
    trainer.model_accepts_loss_kwargs = True  # the loss of a part of a batch is divided by the rows of the whole
    mark(trainer, settings)
    if settings.group_by_length:
        trainer.order = LengthGroupedSampler(rows, settings.batch_size * world(settings), settings.seed)
    return trainer


def validate(settings: Settings, scratch: Path) -> None:
    """Raise what training would raise for the settings alone."""
    peft_configuration("train", settings, "FEATURE_EXTRACTION" if settings.embeds else "SEQ_CLS")
    check_tuning("train", settings, scores=settings.classifies)
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
