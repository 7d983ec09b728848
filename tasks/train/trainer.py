"""One training run by trl's SFTTrainer on rows that are ready: nothing is tokenised, cut or masked here (INV-8)."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import set_seed
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from tasks.contract.errors import CheckFailed, SettingsError
from tasks.train import checkpoints, padding
from tasks.train.order import ByLength
from tasks.train.packs import Packs, collate
from tasks.train.rows import count
from tasks.train.settings import Optimization
from tasks.train.watch import Watch, curve


@dataclass(frozen=True)
class Trained:
    """A trained model and what is worth recording about how it came about."""

    model: Any
    curve: str
    facts: dict[str, Any]


class Trainer(SFTTrainer):  # type: ignore[misc]
    """trl's trainer; rows come in the order `order` where it is set, else in a random one."""

    order: ByLength | None = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.order or super()._get_train_sampler(train_dataset)


def prepare(settings: Optimization) -> None:
    """Fix what would make two runs differ: threads, seeds, and kernels whose order of addition varies."""
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    # That also fills every new buffer with NaN, against reads of what was never written; trl's loss makes buffers of
    # hundreds of megabytes at each step, and the filling took a third of the time. Bytes are the same without.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    set_seed(settings.seed)


def fit(
    what: str,
    model: Any,
    tokenizer: Any,
    rows: Any,
    settings: Optimization,
    scratch: Path,
    *,
    validation: Any = None,
    eval_steps: int | None = None,
    adapter: Any = None,
) -> Trained:
    """Train `model` (or `adapter`, a peft configuration) on `rows`, from the last checkpoint in `scratch` if any.

    `what` names the section of params.yaml in messages. Where `rows` have a column `pack`, `settings.batch_size` counts
    packs. Raises `CheckFailed` where nothing is trainable, the rows that the trainer sees are not those given, the
    model mixes rows that are packed, or no weight changed.
    """
    packed = "pack" in rows.column_names
    if packed and settings.group_by_length:
        raise SettingsError(
            f"params.yaml: {what}.group_by_length is for rows that are not packed; set it to false, or "
            "template.packing to false."
        )
    form = collate(what, model, rows) if packed else None
    padding_free = not packed and padding.free(what, settings, model, rows)
    arguments = _arguments(settings, scratch, eval_steps if validation is not None else None, padding_free)
    try:
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            eval_dataset=validation,
            data_collator=form,
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=[Watch(what, settings.steps)],
        )
    except ValueError as error:  # peft: target modules that the model has not
        raise SettingsError(f"params.yaml: {what}.lora.target_modules does not fit the base: {error}") from None
    trainer.remove_callback(PrinterCallback)  # Watch tells the same in one line
    if packed:  # trl wants a datasets.Dataset above, and reads one row of it
        trainer.train_dataset = Packs(rows)
        trainer.eval_dataset = Packs(validation) if validation is not None else None
    if settings.group_by_length:
        trainer.order = ByLength(rows, settings.batch_size, settings.seed)
    seen, given = count(trainer.train_dataset), count(rows)
    if seen != given:
        raise CheckFailed(f"{what}: the trainer sees {seen}, the rows are {given}; something prepared them again.")
    trainable = {name: value for name, value in trainer.model.named_parameters() if value.requires_grad}
    if not trainable:
        raise CheckFailed(f"{what}: no parameter is trainable; check {what}.method and {what}.lora.target_modules.")
    before = {name: value.detach().clone() for name, value in trainable.items()}
    checkpoint = checkpoints.latest(scratch)
    unit = "packs" if packed else "rows"
    batch = settings.batch_size * settings.gradient_accumulation
    _tell(what, settings, seen.as_dict(), f"{batch} {unit}", trainable, arguments, checkpoint)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    changed = sum(not torch.equal(before[name], value.detach()) for name, value in trainable.items())
    if not changed:
        raise CheckFailed(f"{what}: after {settings.steps} steps no weight has changed.")
    facts = {
        **seen.as_dict(),
        "steps": settings.steps,
        **({"packs": len(trainer.train_dataset)} if packed else {}),
        f"effective_batch_{unit}": batch,
        "epochs": round(settings.steps * batch / len(trainer.train_dataset), 3),
        "parameters": sum(value.numel() for value in trainer.model.parameters()),
        "trainable_parameters": sum(value.numel() for value in trainable.values()),
        "tensors_changed": changed,
        "device": trainer.args.device.type,
        "dtype": "bfloat16" if arguments.bf16 else "float32",
        "arguments": _effective(arguments),
    }
    return Trained(trainer.model, curve(trainer.state.log_history), facts)


def _arguments(settings: Optimization, scratch: Path, eval_steps: int | None, padding_free: bool) -> SFTConfig:
    cpu = not torch.cuda.is_available()
    try:
        return SFTConfig(
            output_dir=str(scratch),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=settings.batch_size,
            gradient_accumulation_steps=settings.gradient_accumulation,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=settings.scheduler,
            warmup_steps=settings.warmup_steps,
            optim=settings.optimizer,
            adam_beta2=settings.adam_beta2,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            seed=settings.seed,
            bf16=_bfloat16(settings.dtype, cpu),
            use_cpu=cpu,
            activation_checkpointing=settings.gradient_checkpointing,
            logging_steps=settings.logging_steps,
            save_strategy="steps",
            save_steps=settings.checkpoint_steps,
            save_total_limit=2,  # the older one stays valid until the manifest of the newer one is written
            eval_strategy="steps" if eval_steps else "no",
            eval_steps=eval_steps,
            dataloader_pin_memory=not cpu,
            disable_tqdm=True,
            report_to=[],
            max_length=None,
            packing=False,
            padding_free=padding_free,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
    except ValueError as error:
        raise SettingsError(f"params.yaml: trl refuses these training settings: {error}") from None


def _bfloat16(dtype: str, cpu: bool) -> bool:
    """Whether to compute in bfloat16: as told, or where the processor has instructions for it."""
    if dtype != "auto":
        return dtype == "bfloat16"
    if not cpu:
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


def _effective(arguments: SFTConfig) -> dict[str, Any]:
    """Every argument that trl and transformers ended up with, less what names this machine or a secret."""
    left_out = {"output_dir", "logging_dir", "hub_token", "push_to_hub_token", "run_name", "local_rank"}
    values = arguments.to_dict()
    return {name: _json(value) for name, value in sorted(values.items()) if name not in left_out}


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _json(item) for name, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _tell(
    what: str,
    settings: Optimization,
    seen: dict[str, int],
    batch: str,
    trainable: dict[str, Any],
    arguments: Any,
    start: Any,
) -> None:
    """One line of derived facts, before the first step."""
    weights = sum(value.numel() for value in trainable.values())
    print(
        f"{what}: {seen['rows']} rows, {seen['tokens']} tokens ({seen['supervised_tokens']} supervised), "
        f"{settings.steps} steps of {batch}, "
        f"{weights} trainable weights, {'bfloat16' if arguments.bf16 else 'float32'} on {arguments.device.type}, "
        f"{torch.get_num_threads()} of {os.cpu_count()} threads" + (f", from {start.name}" if start else ""),
        flush=True,
    )
