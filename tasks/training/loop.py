"""What every trainer here has in common: the checks around it, what it prints, and what it records.

prepare(settings)
result = train("train", trainer, settings, scratch, Workload({"rows": 20}, items=20, longest=7))
"""

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
from tasks.core.numbers import counted, shown
from tasks.core.progress import note
from tasks.models.private_transformers import attention, on_device
from tasks.training import checkpoints, coverage, distributed, kept_passes, memory_estimate, sharding, universal, zero
from tasks.training.adapters import b_ratio
from tasks.training.arguments import computes_in, effective
from tasks.training.callbacks import ALIKE
from tasks.training.changes import changes
from tasks.training.deterministic import stand_in
from tasks.training.dtypes import holding
from tasks.training.interruption import ending
from tasks.training.loss_curve import curve
from tasks.training.methods import METHODS
from tasks.training.muon import Muon
from tasks.training.pace import PaceCallback
from tasks.training.parts import RoundedOptimizer
from tasks.training.private_accelerate import look_up_packages_once
from tasks.training.settings import Optimization
from tasks.training.tuning_settings import Tuning
from tasks.training.usage import Usage


@dataclass(frozen=True)
class TrainingResult:
    """A trained model and what is worth recording about how it came about."""

    model: Any
    curve: str
    facts: dict[str, Any]
    usage: Usage
    """What it took; no part of the outputs, for it differs from run to run."""


@dataclass(frozen=True)
class Workload:
    """What is trained on: its counts, and how many items a step takes."""

    counts: dict[str, int]
    items: int
    """Items an epoch: rows, or packs."""
    longest: int
    """The item with the most tokens."""
    unit: str = "rows"
    """What the items are."""
    divides: bool = True
    """Whether a batch may become several smaller ones, which the loss has to allow."""
    forward: Callable[[int], Any] | None = None
    """A loss of so many items like the longest one, where the trainer does not make it of the item alone."""
    together: int = 1
    """Steps that share what was made for them, such as answers: a checkpoint is of a multiple of so many."""


def prepare(settings: Optimization) -> None:
    """Fix what would make two runs differ: threads, seeds, and kernels whose order of addition varies.

    To be called before the trainer is made.
    """
    look_up_packages_once()
    torch.set_num_threads(settings.threads)
    # torch.use_deterministic_algorithms(True), without loading torch's compiler to tell it so: nothing is compiled
    torch.set_deterministic_debug_mode("error")
    stand_in("CUDA")
    # That also fills every new buffer with NaN, against reads of what was never written; trl's loss makes buffers of
    # hundreds of megabytes at each step, and the filling took a third of the time. Bytes are the same without.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    set_seed(settings.seed)


def train(
    what: str,
    trainer: Any,
    settings: Optimization,
    scratch: Path,
    workload: Workload,
    patience: int | None = None,
    passes: Path | None = None,
) -> TrainingResult:
    """Train, from the last checkpoint in `scratch` if any, and check that something was trained.

    `passes`: the file in which the memory of passes is kept from training to training, by `usage.passes_file`.
    Raises `CheckFailed` where nothing is trainable or no weight changed.
    """
    trainer.remove_callback(PrinterCallback)  # MonitorCallback tells the same in one line
    if patience:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=patience))
    covered = coverage.coverage(trainer.model)
    trainable = {name: value for name, value in trainer.model.named_parameters() if value.requires_grad}
    if not trainable:
        raise CheckFailed(f"{what}: no parameter is trainable; check {what}.method and its settings.")
    before = {name: digest(value) for name, value in trainable.items()}
    sizes = {
        "parameters": sum(value.numel() for value in trainer.model.parameters()),
        "trainable_parameters": sum(value.numel() for value in trainable.values()),
    }
    with distributed.first():
        checkpoint = checkpoints.latest(scratch)
        if checkpoint and universal.is_needed(settings, checkpoint, trainer.args.world_size):
            universal.choose(trainer)
            if not distributed.rank():
                universal.convert(checkpoint)
    batch = settings.batch_size * settings.gradient_accumulation * trainer.args.world_size
    _print_summary(what, settings, workload, batch, trainable, trainer.args, checkpoint)
    if checkpoint and not distributed.rank():
        note(f"{what}: resumes from step {int(checkpoint.name.rpartition('-')[2]):,} of {settings.step_count:,}.")
    coverage.report(what, covered)
    at_once = settings.batch_size if workload.forward else min(settings.batch_size, workload.items)
    needs = memory_estimate.measure(
        trainer,
        settings,
        workload.forward or partial(_forward, trainer, workload.longest),
        at_once,
        _kept_passes(passes, trainer, settings, workload),
    )
    memory_estimate.report(what, needs)
    adapter = hasattr(trainer.model, "peft_config")
    ways = partial(memory_estimate.ways_out, what, needs, settings, adapter=adapter, divides=workload.divides)
    memory_estimate.check_resources(what, needs, settings, scratch, adapter, ways)
    pace = PaceCallback(what, _evaluated_rows(trainer, batch))
    trainer.add_callback(pace)
    full_memory = memory_estimate.report_full_memory(what, needs, ways)
    with ending(what, trainer, settings, workload.together), full_memory, checkpoints.report_full_disk(what, scratch):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    steps_done = trainer.state.global_step
    usage = memory_estimate.summarize(what, needs, pace, (steps_done - pace.start) * batch)
    changed = sum(sharding.somewhere([before[name] != digest(value) for name, value in trainable.items()]))
    if not changed:
        equal_rewards = [entry[ALIKE] for entry in trainer.state.log_history if ALIKE in entry]
        if equal_rewards and min(equal_rewards) == 1:
            raise CheckFailed(
                f"{what}: in all {steps_done} steps, the answers to each prompt got the same reward, so nothing was "
                f"learned; check that {what}.rewards separates good answers from bad ones, or raise {what}.answers."
            )
        raise CheckFailed(f"{what}: after {steps_done} steps no weight has changed; raise {what}.learning_rate.")
    facts = {
        **workload.counts,
        "steps": steps_done,
        workload.unit: workload.counts.get(workload.unit, workload.items),
        f"effective_batch_{workload.unit}": batch,
        "epochs": round(trainer.state.epoch if settings.epochs else steps_done * batch / workload.items, 3),
        **sizes,
        **covered,
        "tensors_changed": changed,
        "device": trainer.args.device.type,
        "dtype": computes_in(trainer.args),
        "attention": attention(trainer.model),
        "arguments": effective(trainer.args),
        "changes": changes(trainer, getattr(settings, "arguments", {})),
    }
    return TrainingResult(trainer.model, curve(trainer.state.log_history), facts, usage)


def _kept_passes(
    file: Path | None, trainer: Any, settings: Optimization, workload: Workload
) -> kept_passes.KeptPasses | None:
    """Where passes like those of `trainer` are kept; None where several processes have to make the same ones."""
    if file is None or trainer.args.world_size > 1:
        return None
    return kept_passes.KeptPasses(file, kept_passes.key(trainer, settings, workload.longest, workload.counts))


def _evaluated_rows(trainer: Any, batch: int) -> float:
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
    if not isinstance(settings, Tuning):
        return None
    if any(value.requires_grad and value.dtype == torch.bfloat16 for value in model.parameters()):
        return _rounded(settings, model, values)
    ratio = b_ratio(settings) if METHODS[settings.method].lora else None
    if ratio is None:
        return None
    from peft.optimizers import create_loraplus_optimizer

    kind, options = Trainer.get_optimizer_cls_and_kwargs(values, model)
    rate = options.pop("lr")
    return create_loraplus_optimizer(
        model, kind, lr=rate, loraplus_lr_ratio=ratio, loraplus_weight_decay=settings.weight_decay, **options
    )


def _rounded(settings: Any, model: Any, values: Any) -> RoundedOptimizer:
    """The optimiser of that name for weights held in bfloat16; norms and biases do not decay, as in transformers."""
    kind, options = Trainer.get_optimizer_cls_and_kwargs(values, model)
    decaying = set(Trainer.get_decay_parameter_names(None, model))
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups = [
        {
            "params": [value for name, value in trained if (name in decaying) == decays],
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]
    kahan = holding("BF16", settings, trained=True).remainder > 0
    return RoundedOptimizer(groups, partial(kind, **options), settings.learning_rate, settings.seed, kahan)


def digest(weight: Any) -> bytes:
    """Hash of the bytes of a tensor, or of what this process holds of it, which costs no copy."""
    if zero.is_share(weight):
        with zero.gathered(weight) as whole:
            return digest(whole)
    flat = sharding.local(weight.detach()).cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.blake2b(flat.numpy().data, digest_size=16).digest()


def _print_summary(
    what: str,
    settings: Optimization,
    workload: Workload,
    batch: int,
    trainable: dict[str, Any],
    values: Any,
    start: Any,
) -> None:
    """One line of derived facts, before the first step."""
    counts = ", ".join(counted(number, name.replace("_", " ")) for name, number in workload.counts.items())
    weights = sum(value.numel() for value in trainable.values())
    epochs = f" ({shown(settings.epochs)} epochs)" if settings.epochs else ""
    print(
        f"{what}: {counts}, {counted(settings.step_count, 'steps')} of {counted(batch, workload.unit)}{epochs}, "
        f"{weights:,} trainable weights, {computes_in(values)} on {values.device.type}, "
        f"{torch.get_num_threads()} of {os.cpu_count()} threads" + (f", resumes from {start.name}" if start else ""),
        flush=True,
    )
