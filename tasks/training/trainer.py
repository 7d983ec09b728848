"""Training on labelled rows by trl's SFTTrainer: nothing is tokenised, cut or masked here (INV-8)."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from tasks.core.errors import CheckFailed, SettingsError
from tasks.core.paths import PATHS
from tasks.models.private_transformers import Ordered
from tasks.rows.ranks import ranks
from tasks.training import loop, padding
from tasks.training.adapters import check_tuning, peft_configuration
from tasks.training.arguments import arguments, check_patience, width
from tasks.training.callbacks import MonitorCallback
from tasks.training.launch import world
from tasks.training.loop import TrainingResult, Workload, prepare
from tasks.training.loss import accepts_logits_to_keep, loss
from tasks.training.methods import METHODS, Method
from tasks.training.packs import LinesCollator, Packs, StackedCollator, choose_collator
from tasks.training.pass_through import SUPERVISED
from tasks.training.private_sharding import SharedCheckpoints
from tasks.training.rows import count
from tasks.training.samplers import LengthGroupedSampler, OrderedSampler
from tasks.training.schedule import assumed
from tasks.training.settings import Batched, Supervised, check_row_sharing
from tasks.training.sharding import mark
from tasks.training.tuning_settings import Tuning
from tasks.training.validation import TokenMean

__all__ = ["TrainingResult", "fit", "prepare"]


class Trainer(SharedCheckpoints, Ordered, TokenMean, SFTTrainer):  # type: ignore[misc]
    """trl's trainer; rows come in the order `order` where it is set, else in a random one."""

    order: Sampler[int] | None = None
    method: Method = METHODS["full"]
    what = "train"

    def sampler(self) -> Sampler[int] | None:
        """See `Ordered`."""
        return self.order

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss; by trl's own kernels where there is a GPU for them or another loss is asked for."""
        special = self.args.loss_type != "nll" or self.label_smoother is not None or self.aux_loss_enabled
        if return_outputs or special or (torch.cuda.is_available() and self.method.side_by_side):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.method.own_loss and model.training:
            total = model(**inputs, use_cache=False, num_items_in_batch=num_items_in_batch).loss
        else:
            total = loss(
                model, inputs, num_items_in_batch, self.method.side_by_side and accepts_logits_to_keep(self.model)
            )
        if not math.isfinite(value := total.item()):
            raise CheckFailed(
                f"{self.what}: the loss is {value} in step {self.state.global_step + 1}; lower {self.what}."
                f"learning_rate, lengthen {self.what}.warmup_steps, or set {self.what}.dtype to float32."
            )
        if (
            num_items_in_batch is not None and self.args.world_size > 1
        ):  # gradients of processes are averaged, not added
            total = total * self.args.world_size
        return total


class AdaLoraCallback(TrainerCallback):  # type: ignore[misc]
    """Has AdaLoRA share out its ranks, which peft leaves to whoever trains."""

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        model.base_model.update_and_allocate(state.global_step + 1)


def fit(
    what: str,
    model: Any,
    tokenizer: Any,
    rows: Any,
    settings: Batched,
    scratch: Path,
    *,
    validation: Any = None,
    asked: TrainerCallback | None = None,
    passes: Path | None = None,
) -> TrainingResult:
    """Train what is trainable of `model` on `rows`, from the last checkpoint in `scratch` if any.

    `what` names the section of params.yaml in messages; `asked` has the model answer prompts meanwhile; `passes`: see
    `loop.train`. Where `rows` have a column `pack`, `settings.batch_size` counts packs. Raises `CheckFailed` where
    nothing is trainable, the rows that the trainer sees are not those given, the model mixes rows that are packed, or
    no weight changed.
    """
    method = METHODS[settings.method] if isinstance(settings, Tuning) else METHODS["full"]
    packed = "pack" in rows.column_names
    collator, form = _choose_collator(what, settings, method, model, rows, packed)
    stage = settings if isinstance(settings, Supervised) else None
    check_patience(what, stage.patience if stage else None, validation)
    values = _arguments(
        what,
        settings,
        scratch,
        evaluated=validation is not None,
        padding_free=form is not None,
        size=width(model.config),
    )
    if not method.resumes:
        values.save_strategy = "no"
    trainable = [(value, value.dtype) for value in model.parameters() if value.requires_grad]
    try:
        trainer = Trainer(
            model=model,
            args=values,
            train_dataset=rows,
            eval_dataset=validation,
            data_collator=collator,
            processing_class=tokenizer,
            callbacks=[
                MonitorCallback(what, settings),
                *([AdaLoraCallback()] if method.kind == "ADALORA" else []),
                *([asked] if asked else []),
            ],
            optimizers=(loop.optimizer(settings, model, values), None),
        )
    except (ValueError, ImportError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{PATHS.params}: trl rejects these settings of {what}: {reason}") from None
    for value, dtype in trainable:  # trl rounds adapters on a quantised base to bfloat16, in which small steps are lost
        if value.dtype != dtype:
            value.data = value.data.to(dtype)
    trainer.what, trainer.method = what, method
    mark(trainer, settings)
    if isinstance(form, StackedCollator):
        trainer.data_collator = LinesCollator()  # trl refuses one beside padding_free; its own makes one long line
    if packed:  # trl wants a datasets.Dataset above, and reads one row of it
        trainer.train_dataset = Packs(rows)
        trainer.eval_dataset = Packs(validation) if validation is not None else None
    if settings.group_by_length:
        trainer.order = LengthGroupedSampler(rows, settings.batch_size * world(settings), settings.seed)
    if stage and stage.order != "shuffled":
        trainer.order = OrderedSampler(_ranks(what, rows, trainer.train_dataset, stage.order), settings.seed)
        _tell_untrained(what, settings, len(trainer.train_dataset), "packs" if packed else "rows")
    counted, expected = count(trainer.train_dataset), count(rows)
    if counted != expected:
        raise CheckFailed(
            f"{what}: the trainer sees {counted}, but the rows are {expected}; something has processed them again."
        )
    items = trainer.train_dataset
    longest = items.longest if packed else int(np.argmax(pc.list_value_length(rows.data.column("input_ids"))))
    workload = Workload(counted.as_dict(), len(items), longest, "packs" if packed else "rows")
    return loop.train(what, trainer, settings, scratch, workload, stage.patience if stage else None, passes)


def _tell_untrained(what: str, settings: Batched, items: int, unit: str) -> None:
    """Say so where the last of `items` in an order are never trained: in a random one each has its chance."""
    trained = settings.step_count * settings.batch_size * settings.gradient_accumulation * world(settings)
    if trained < items:
        print(
            f"{what}: {settings.step_count:,} steps are less than an epoch, so the last {items - trained:,} of "
            f"{items:,} {unit} in the order are never trained; raise {what}.steps to train on all.",
            flush=True,
        )


def _ranks(what: str, rows: Any, items: Any, order: str) -> Any:
    """The rank of each item: a row's by its length or key, a pack's by the key of its first row."""
    if order == "length":
        return pc.list_value_length(rows.data.column("input_ids")).to_numpy()
    if "order" not in rows.column_names:
        raise SettingsError(
            f"{PATHS.params}: {what}.order key needs clean.order_key, which is null; set it, or {what}.order to "
            "shuffled."
        )
    by_row = ranks(rows.data.column("order"))
    return by_row[items.starts[:-1]] if isinstance(items, Packs) else by_row


def validate(settings: Supervised, scratch: Path) -> None:
    """Raise what the stage would raise for its settings alone."""
    settings = assumed(settings)
    peft_configuration("train", settings)
    check_tuning("train", settings)
    _arguments("train", settings, scratch, evaluated=True)


def _arguments(
    what: str,
    settings: Batched,
    scratch: Path,
    *,
    evaluated: bool,
    padding_free: bool = False,
    size: int | None = None,
) -> Any:
    """What trl's configuration ends up with. Raises `SettingsError`."""
    stage = settings if isinstance(settings, Supervised) else None
    return arguments(
        what,
        SFTConfig,
        settings,
        scratch,
        eval_steps=stage.eval_steps if stage and evaluated else None,
        patience=bool(stage and stage.patience),
        width=size,
        further=stage.arguments if stage else None,
        acting=SUPERVISED,
        max_length=None,
        packing=False,
        padding_free=padding_free,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def _choose_collator(
    what: str, settings: Batched, method: Method, model: Any, rows: Any, packed: bool
) -> tuple[Any, Any]:
    """How batches are made: the collator of packs, or None for trl's; and the form in which rows go without padding."""
    check_row_sharing(what, settings, packed)
    if not method.side_by_side:
        return None, None
    if packed:
        return choose_collator(what, model, rows), None
    several = [StackedCollator()] if next(model.parameters()).device.type == "cpu" else []
    return None, padding.use_padding_free(what, settings, model, rows, *several, padding.FLAT_COLLATOR)
