"""What is tuned, put on a model: an adapter by peft's own configuration, or some of the model's own weights.

Shapes: `B` rows of a batch, `T` tokens of the longest one.
"""

import dataclasses
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.models.classes import beside_text
from tasks.models.compact import shown_wide, widen_trained
from tasks.models.loading import keep_packing
from tasks.models.private_peft import scale_between
from tasks.named.choices import hint
from tasks.training.coverage import check_low_bits
from tasks.training.embeddings import check_embeddings, train_embeddings
from tasks.training.methods import METHODS
from tasks.training.targets import check_targets
from tasks.training.tuning_settings import Freeze, Tuning

LORA_PLUS = 16.0
"""How much faster B learns than A by the method lora_plus unless b_ratio is set: the ratio of its paper."""

PROBED = 64
"""Rows whose activations the method eva looks at before training."""

MAMBA = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
"""Models in whose layers peft 0.21 refuses to tune `out_proj` and `conv1d`: their kernels read the weights directly."""

INITIAL = "initial"
"""Folder, beside the checkpoints, of an adapter as it was before training."""


def b_ratio(settings: Tuning) -> float | None:
    """How much faster LoRA's B learns than its A; None: as fast."""
    return settings.lora.b_ratio or (LORA_PLUS if settings.method == "lora_plus" else None)


def peft_configuration(what: str, settings: Tuning, task: str = "CAUSAL_LM") -> Any:
    """peft's configuration of the method, checked by peft's own class; None where the model's own weights are tuned."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftConfig, PeftType

    method = METHODS[settings.method]
    if method.kind is None:
        return None
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(method.kind)]
    reserved = {field.name for field in dataclasses.fields(PeftConfig)}
    fields = {field.name for field in dataclasses.fields(kind)} - reserved
    for name in settings.peft:
        if name not in fields:
            raise SettingsError(
                f"{PATHS.params}: unknown key '{what}.peft.{name}': peft's {kind.__name__} has no such field; "
                f"{hint(name, fields)}"
            )
    fields_set = {name: value for name, value in method.preset.items() if name in fields} | settings.peft
    if method.lora:
        lora = settings.lora
        fields_set |= {
            "r": lora.r,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "target_modules": lora.target_modules,
        }
    if method.kind == "ADALORA":
        fields_set.setdefault("total_step", getattr(settings, "steps", None) or 1)
    if settings.method == "eva":
        from peft import EvaConfig

        fields_set.setdefault("eva_config", EvaConfig())
    try:
        return kind(task_type=task, **fields_set)
    except (ValueError, TypeError, AssertionError, ImportError) as error:
        raise SettingsError(f"{PATHS.params}: {what}.peft: peft rejects it: {' '.join(str(error).split())}") from None


def attach(
    what: str, settings: Tuning, model: Any, rows: Any, scratch: Path, grown: bool, task: str = "CAUSAL_LM"
) -> Any:
    """`model` with what shall be tuned, and nothing else, set to be trained.

    `grown`: the model has rows of embeddings for new tokens, which are trained and saved with an adapter. `task`: what
    the model is for, by peft's name; SEQ_CLS for one that scores. Raises `SettingsError` where the method does not fit
    the model.
    """
    apart = beside_text(model)
    if METHODS[settings.method].kind is None:
        if settings.method == "freeze":
            unfreeze(what, model, settings.freeze)
        else:
            for path in apart:
                model.get_submodule(path).requires_grad_(False)
        if settings.weights == "float32":
            widen_trained(model)
        return model
    from peft import get_peft_model

    config = peft_configuration(what, settings, task)
    check_embeddings(what, settings.method, config, model, grown)
    check_targets(what, settings, model)
    check_low_bits(what, settings, model)
    _spare(config, model, apart)
    if grown:
        train_embeddings(config, model)
    keep_packing(model)
    try:
        with warnings.catch_warnings(), shown_wide(model, getattr(config, "modules_to_save", None) or ()):
            warnings.filterwarnings("ignore", message="Unsupported layer type")  # norms, which peft tunes all the same
            tuned = get_peft_model(model, config)
    except (ValueError, TypeError, KeyError, AssertionError, RuntimeError, ImportError) as error:
        key = "lora.target_modules" if METHODS[settings.method].lora and "target" in str(error).lower() else "peft"
        reason = " ".join(str(error).split())
        raise SettingsError(f"{PATHS.params}: {what}.{key} does not fit the base: {reason}") from None
    widen_trained(tuned)
    scale_between(tuned)
    if settings.method == "eva":
        _initialize_eva(what, tuned, rows)
    if METHODS[settings.method].plain:
        tuned.save_pretrained(scratch / INITIAL, save_embedding_layers=False)
    return tuned


def check_tuning(what: str, settings: Tuning, *, scores: bool = False) -> None:
    """Raise `SettingsError` for what of `settings` does not fit the base, where its configuration can be read already.

    `scores`: it is tuned as a reward model.
    """
    if not (settings.particular or settings.quantized):
        return
    from tasks.models.skeleton import base_skeleton

    if (skeleton := base_skeleton(scores=scores)) is not None:
        check_parts(what, settings, skeleton)


def check_parts(what: str, settings: Tuning, skeleton: Any) -> None:
    """Raise `SettingsError` for parts named in `settings` that the base does not have, or layers that stay whole.

    `skeleton`: the base without weights (torch's meta device).
    """
    if settings.method == "freeze":
        unfreeze(what, skeleton, settings.freeze)
    elif METHODS[settings.method].kind is not None:
        check_targets(what, settings, skeleton)
        check_low_bits(what, settings, skeleton)


def unfreeze(what: str, model: Any, freeze: Freeze) -> None:
    """Freeze `model` but for the blocks and the names of `freeze`."""
    blocks = max((part for part in model.modules() if isinstance(part, torch.nn.ModuleList)), key=len)
    if abs(freeze.layers) > len(blocks):
        raise SettingsError(
            f"{PATHS.params}: {what}.freeze.layers is {freeze.layers}, but the base has only {len(blocks)} blocks; set "
            "it lower, or use method: full."
        )
    model.requires_grad_(False)
    first, last = (0, -freeze.layers) if freeze.layers < 0 else (len(blocks) - freeze.layers, len(blocks))
    for block in blocks[first:last]:
        block.requires_grad_(True)
    for part in freeze.names:
        weights = [weight for name, weight in model.named_parameters() if part in name]
        if not weights:
            tied = " (the head shares the weights of the embeddings)" if model.config.tie_word_embeddings else ""
            raise SettingsError(
                f"{PATHS.params}: {what}.freeze.names: the base has no weight named {part}{tied}; correct the name."
            )
        for weight in weights:
            weight.requires_grad_(True)


def _spare(config: Any, model: Any, apart: list[str]) -> None:
    """Have peft leave alone what must not be tuned where it chooses the layers itself: modules of the paths `apart`,
    which text does not pass, and the projections that peft refuses in Mamba's layers."""
    if getattr(config, "target_modules", None) != "all-linear" or getattr(config, "exclude_modules", None):
        return
    parts = [rf"{re.escape(path)}(\..*)?" for path in apart]
    # Phi-MoE's router is a linear layer that returns two tensors, which LoRA's forward pass does not expect
    parts += [re.escape(path) for path, module in model.named_modules() if _routes(module)]
    if model.config.model_type in MAMBA:
        parts += [r".*\.(out_proj|conv1d)"]
    if not parts:
        return
    pattern = "|".join(parts)
    if hasattr(config, "exclude_modules"):
        config.exclude_modules = pattern
        return
    head = model.get_output_embeddings()
    layers = ((path, layer) for path, layer in model.named_modules() if isinstance(layer, torch.nn.Linear))
    config.target_modules = {path for path, layer in layers if layer is not head and not re.fullmatch(pattern, path)}


def _routes(module: Any) -> bool:
    """Whether it is a linear layer by its class, and chooses experts."""
    return isinstance(module, torch.nn.Linear) and type(module).__name__.endswith("Router")


def _initialize_eva(what: str, tuned: Any, rows: Any) -> None:
    """Start the adapter from the activations of some rows (EVA, arXiv:2410.07170).

    Raises `SettingsError` where they have fewer tokens than peft needs for one singular value decomposition: it would
    go through them for ever.
    """
    from peft import initialize_lora_eva_weights

    device = next(tuned.parameters()).device
    samples = rows.select(range(min(PROBED, len(rows))))["input_ids"]
    config = tuned.peft_config["default"]
    needed = int(config.r * config.eva_config.rho)
    if (tokens := sum(map(len, samples))) < needed:
        raise SettingsError(
            f"{PATHS.params}: {what}.method eva needs at least {needed} tokens (lora.r times rho), but the first "
            f"{len(samples)} rows have {tokens}; lower {what}.lora.r."
        )
    longest = max(map(len, samples))
    ids, mask = (torch.zeros(len(samples), longest, dtype=torch.long, device=device) for _ in range(2))  # (B, T)
    for index, row in enumerate(samples):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    initialize_lora_eva_weights(tuned, [{"input_ids": ids, "attention_mask": mask}], show_progress_bar=False)
