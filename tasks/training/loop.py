"""What every trainer here has in common: the checks around it, what is told, and what is recorded."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer
from transformers.trainer_callback import EarlyStoppingCallback, PrinterCallback
from transformers.trainer_utils import set_seed

from tasks.core.errors import CheckFailed
from tasks.models.private_transformers import on_device
from tasks.training import checkpoints, distributed
from tasks.training import memory_estimate as pricing
from tasks.training.adapters import b_ratio
from tasks.training.arguments import effective
from tasks.training.callbacks import ALIKE
from tasks.training.loss_curve import curve
from tasks.training.methods import METHODS
from tasks.training.muon import Muon
from tasks.training.pace import Pace
from tasks.training.settings import Optimization, Tuning
from tasks.training.usage import Usage


@dataclass(frozen=True)
class Trained:
    """A trained model and what is worth recording about how it came about."""

    model: Any
    curve: str
    facts: dict[str, Any]
    usage: Usage
    """What it took; no part of the outputs, for it differs from run to run."""


@dataclass(frozen=True)
class Work:
    """What is trained on: its counts, and how many items a step takes."""

    counts: dict[str, int]
    items: int
    """Items an epoch: rows, or packs."""
    longest: int
    """The item with the most tokens."""
    unit: str = "rows"
    """What the items are."""
    forward: Callable[[int], Any] | None = None
    """A loss of so many items like the longest one, where the trainer does not make it of the item alone."""


def prepare(settings: Optimization) -> None:
    """Fix what would make two runs differ: threads, seeds, and kernels whose order of addition varies."""
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    # That also fills every new buffer with NaN, against reads of what was never written; trl's loss makes buffers of
    # hundreds of megabytes at each step, and the filling took a third of the time. Bytes are the same without.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    set_seed(settings.seed)


def train(
    what: str, trainer: Any, settings: Optimization, scratch: Path, work: Work, patience: int | None = None
) -> Trained:
    """Train, from the last checkpoint in `scratch` if any, and check that something was trained.

    Raises `CheckFailed` where nothing is trainable or no weight changed.
    """
    trainer.remove_callback(PrinterCallback)  # Watch tells the same in one line
    if patience:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=patience))
    trainable = {name: value for name, value in trainer.model.named_parameters() if value.requires_grad}
    if not trainable:
        raise CheckFailed(f"{what}: no parameter is trainable; check {what}.method and what it tunes.")
    before = {name: digest(value) for name, value in trainable.items()}
    with distributed.first():
        checkpoint = checkpoints.latest(scratch)
    batch = settings.batch_size * settings.gradient_accumulation * trainer.args.world_size
    _tell(what, settings, work, batch, trainable, trainer.args, checkpoint)
    at_once = settings.batch_size if work.forward else min(settings.batch_size, work.items)
    asked = pricing.price(trainer, settings, work.forward or partial(_forward, trainer, work.longest), at_once)
    pricing.tell(what, asked)
    pricing.check(what, asked, settings, scratch, hasattr(trainer.model, "peft_config"))
    pace = Pace(what, _evaluated(trainer, batch))
    trainer.add_callback(pace)
    with checkpoints.full_disk(what, scratch):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    made = trainer.state.global_step
    usage = pricing.settle(what, asked, pace, (made - pace.start) * batch)
    changed = sum(before[name] != digest(value) for name, value in trainable.items())
    if not changed:
        alike = [entry[ALIKE] for entry in trainer.state.log_history if ALIKE in entry]
        if alike and min(alike) == 1:
            raise CheckFailed(
                f"{what}: in {made} steps all answers to a prompt were worth the same, so nothing was learned; see "
                f"that {what}.rewards tell good answers of the model from bad ones, or raise {what}.answers."
            )
        raise CheckFailed(f"{what}: after {made} steps no weight has changed; raise {what}.learning_rate.")
    facts = {
        **work.counts,
        "steps": made,
        work.unit: work.counts.get(work.unit, work.items),
        f"effective_batch_{work.unit}": batch,
        "epochs": round(made * batch / work.items, 3),
        "parameters": sum(value.numel() for value in trainer.model.parameters()),
        "trainable_parameters": sum(value.numel() for value in trainable.values()),
        "tensors_changed": changed,
        "device": trainer.args.device.type,
        "dtype": "bfloat16" if trainer.args.bf16 else "float32",
        "arguments": effective(trainer.args),
    }
    return Trained(trainer.model, curve(trainer.state.log_history), facts, usage)


def _evaluated(trainer: Any, batch: int) -> float:
    """Rows of the validation split that are looked at for each row of `batch` that a step takes, on average."""
    if trainer.args.eval_strategy == "no" or trainer.eval_dataset is None:
        return 0.0
    return float(len(trainer.eval_dataset) / trainer.args.eval_steps / batch)


def _forward(trainer: Any, item: int, count: int) -> Any:
    batch = trainer.data_collator([trainer.train_dataset[item] for _ in range(count)])
    return trainer.compute_loss(trainer.model, on_device(trainer, batch))


def optimizer(settings: Optimization, model: Any, values: Any) -> Any:
    """The optimiser where transformers does not make it by its name; else None."""
    if settings.optimizer == "muon":
        return Muon(
            model,
            settings.learning_rate,
            (values.adam_beta1, values.adam_beta2),
            values.adam_epsilon,
            settings.weight_decay,
        )
    ratio = b_ratio(settings) if isinstance(settings, Tuning) and METHODS[settings.method].lora else None
    if ratio is None:
        return None
    from peft.optimizers import create_loraplus_optimizer

    kind, options = Trainer.get_optimizer_cls_and_kwargs(values, model)
    rate = options.pop("lr")
    return create_loraplus_optimizer(
        model, kind, lr=rate, loraplus_lr_ratio=ratio, loraplus_weight_decay=settings.weight_decay, **options
    )


def digest(weight: Any) -> bytes:
    """Hash of the bytes of a tensor, which costs no copy of it."""
    flat = weight.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.blake2b(flat.numpy().data, digest_size=16).digest()


def _tell(
    what: str, settings: Optimization, work: Work, batch: int, trainable: dict[str, Any], values: Any, start: Any
) -> None:
    """One line of derived facts, before the first step."""
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in work.counts.items())
    weights = sum(value.numel() for value in trainable.values())
    print(
        f"{what}: {counts}, {settings.steps} steps of {batch} {work.unit}, "
        f"{weights} trainable weights, {'bfloat16' if values.bf16 else 'float32'} on {values.device.type}, "
        f"{torch.get_num_threads()} of {os.cpu_count()} threads" + (f", from {start.name}" if start else ""),
        flush=True,
    )
