"""The arguments of a trainer: what the settings say, what has to be so, and what params.yaml passes on."""

import dataclasses
import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.models.private_transformers import use_one_device
from tasks.training import distributed, zero
from tasks.training.estimate import checkpoints_kept
from tasks.training.optimizers import PROJECTING
from tasks.training.pass_through import OWNED
from tasks.training.passed_values import check_optimizer, check_scheduler, check_types
from tasks.training.settings import Optimization
from tasks.training.sharding import shares_weights

WIDE = 512
"""Numbers for a token from which on a processor gains by bfloat16: of narrower models the products are so small that
turning them to and fro costs more. By the settings and the base alone, so that the bytes are the same each time."""


def arguments(
    what: str,
    kind: Any,
    settings: Optimization,
    scratch: Path,
    *,
    eval_steps: int | None = None,
    patience: bool = False,
    width: int | None = None,
    further: dict[str, Any] | None = None,
    acting: Collection[str] = (),
    **own: Any,
) -> Any:
    """The arguments of a trainer: `kind` is trl's class for them, `further` what `params.yaml` passes on.

    `acting`: the arguments that have an effect here; no other is passed on.

    `width`: numbers that the model has for a token between two layers, where that is known.

    Raises `SettingsError` where `kind` does not know one of them or refuses their values.
    """
    cpu = not torch.cuda.is_available()
    further = further or {}
    own = {**({"optim_target_modules": ["attn", "mlp"]} if settings.optimizer in PROJECTING else {}), **own}
    names = {field.name for field in dataclasses.fields(kind)}
    for name in further:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            key = OWNED.get(near[0]) if near else None
            advice = f"did you mean '{near[0]}'" if near else "see its documentation."
            if near:
                advice += f", which is the key {what}.{key}?" if key else "?"
            raise SettingsError(
                f"{PATHS.params}: unknown key '{what}.arguments.{name}': trl's {kind.__name__} has no such argument; "
                f"{advice}"
            )
        if name not in acting:
            raise SettingsError(f"{PATHS.params}: {what}.arguments.{name} has no effect here; remove it.")
    check_types(what, kind, further)
    halved = bfloat16(settings.dtype, cpu, width)
    values = {
        "output_dir": str(scratch),
        "max_steps": settings.step_count,
        "per_device_train_batch_size": settings.batch_size,
        "per_device_eval_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup_steps,
        "optim": "adamw_torch" if settings.optimizer == "muon" else settings.optimizer,
        "adam_beta2": settings.adam_beta2,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "neftune_noise_alpha": getattr(settings, "neftune", None),
        "seed": settings.seed,
        "bf16": halved and not zero.stage(settings),  # DeepSpeed would round the weights themselves
        "use_cpu": cpu,
        "deepspeed": zero.configuration(settings, halved),
        "ddp_backend": "gloo" if cpu and distributed.started() else None,
        "activation_checkpointing": settings.gradient_checkpointing,
        "logging_steps": settings.logging_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it would put the average in the place of a loss that is not a number
        "save_strategy": "steps" if checkpoints_kept(settings) else "no",
        "save_steps": eval_steps if patience else settings.checkpoint_steps,
        "save_only_model": shares_weights(settings),  # `private_sharding` writes the rest
        "save_total_limit": 2,  # the older one stays valid until the manifest of the newer one is written
        "eval_strategy": "steps" if eval_steps else "no",
        "eval_steps": eval_steps,
        "load_best_model_at_end": patience,
        "metric_for_best_model": "eval_loss" if patience else None,
        "dataloader_pin_memory": not cpu,
        "disable_tqdm": True,
        "report_to": [],
        **own,
    }
    check_scheduler(what, settings, further.get("lr_scheduler_kwargs"))
    try:
        chosen = kind(**{**values, **further})
    except (ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{PATHS.params}: trl rejects these settings of {what}: {reason}") from None
    use_one_device(chosen)
    check_optimizer(what, settings, chosen)
    return chosen


def bfloat16(dtype: str, cpu: bool, width: int | None) -> bool:
    """Whether to compute in bfloat16: as `dtype` says, or where the machine can and the model is wide enough.

    `width` as for `arguments`; a model of unknown width counts as wide.
    """
    if dtype != "auto":
        return dtype == "bfloat16"
    if not cpu:
        return bool(torch.cuda.is_bf16_supported())
    return processor_has_bfloat16() and (width is None or width >= WIDE)


def processor_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16; one that has to imitate it takes many times the time."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def computes_in(values: Any) -> str:
    """The type of the products of a trainer with these arguments, as PyTorch names it."""
    return "bfloat16" if values.bf16 or zero.AUTOCAST in (values.deepspeed or {}) else "float32"


def check_patience(what: str, patience: int | None, validation: Any | None) -> None:
    """Raise `SettingsError` where a training would stop early by a validation split without rows."""
    if patience and validation is None:
        raise SettingsError(
            f"{PATHS.params}: {what}.patience needs the validation split, which is empty; set it to null."
        )


def width(config: Any) -> int | None:
    """Numbers for a token between two layers of a model with this configuration; None where it does not tell."""
    return getattr(config.get_text_config(), "hidden_size", None)


def effective(values: Any) -> dict[str, Any]:
    """Every argument that trl and transformers ended up with, less what names this machine or a secret."""
    left_out = {"output_dir", "logging_dir", "hub_token", "push_to_hub_token", "run_name", "local_rank"}
    return {name: _json(value) for name, value in sorted(values.to_dict().items()) if name not in left_out}


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _json(item) for name, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
