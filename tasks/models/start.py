"""Training that goes on from an adapter that is there already, as peft saved it, in the place of a new one."""

import warnings
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, ModelError, SettingsError
from tasks.core.files import sha256
from tasks.core.paths import PATHS, Paths
from tasks.models.adapter_files import CONFIG, adapter_config, training_record
from tasks.models.compact import shown_wide, widen_trained
from tasks.models.origin import check_origin
from tasks.models.private_peft import adapter_keys, scale_between
from tasks.models.record import base_folder, base_record
from tasks.models.skeleton import configured_base
from tasks.named.names import inside
from tasks.training.methods import METHODS
from tasks.training.tuning_settings import Tuning

REMEDY = "write {location!r} as base_model_name_or_path into its adapter_config.json"

CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to start LoRA, as peft's `init_lora_weights` names them, of which loading an adapter changes the base again."""

PROMPTS = ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "CARTRIDGE")
"""Kinds of peft that it loads for use only."""

EMBEDDINGS = ("embed", "wte", "word_embeddings")
"""Parts of names of embeddings."""


def adapter_folder(what: str, name: str, paths: Paths) -> Path:
    """The folder of the adapter `name`; `SettingsError` or `InputError` where there is none."""
    folder = inside(paths.starts, name, f"{PATHS.params}: {what}.start")
    if not (folder / CONFIG).is_file() or not any(folder.glob("adapter_model.*")):
        there = sorted(file.parent.name for file in paths.starts.glob("*/adapter_config.json"))
        raise InputError(
            f"{PATHS.params}: {what}.start = {name!r}: {folder} is not an adapter, which has adapter_config.json and "
            f"adapter_model.safetensors; found: {', '.join(there) or 'none'}."
        )
    if not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder}: its weights are pickled, which can run code; save them as safetensors.")
    return folder


def hashes(what: str, name: str, paths: Paths) -> dict[str, str]:
    """SHA-256 of what decides the adapter `name`, by file."""
    folder = adapter_folder(what, name, paths)
    return {file: sha256(folder / file) for file in ("adapter_config.json", "adapter_model.safetensors")}


def check(what: str, settings: Tuning, name: str, paths: Paths) -> None:
    """Raise what `load` would raise, as far as the settings and the files tell before there is a base."""
    folder = adapter_folder(what, name, paths)
    _check_agreement(what, settings, folder)
    if (configured := configured_base()) is not None:
        check_origin(folder, *configured, (), REMEDY)


def check_embeddings(what: str, adapter: Path, config: dict[str, Any], grown: bool) -> None:
    """Raise `SettingsError` where the base has `grown` rows of embeddings that the `adapter` by `config` lacks."""
    saved = " ".join(config.get("modules_to_save") or [])
    if grown and not any(part in saved for part in EMBEDDINGS):
        raise SettingsError(
            f"{PATHS.params}: template.new_tokens adds rows of embeddings, which the adapter in {adapter} does not "
            f"have; remove the new tokens, or set {what}.start to null."
        )


def load(what: str, settings: Tuning, name: str, model: Any, paths: Paths, grown: bool) -> Any:
    """`model`, the recorded base, with the adapter `name` on it to be trained.

    `grown` as for `tasks.training.adapters.attach`. Raises `SettingsError` where the settings say otherwise than the
    adapter, `ModelError` where it is of another base, or not all of its weights find a place.
    """
    from peft import PeftConfig, PeftModel
    from safetensors import SafetensorError, safe_open

    from tasks.models.loading import keep_packing

    adapter = adapter_folder(what, name, paths)
    config_values = _check_agreement(what, settings, adapter)
    _check_base(adapter, base_record(paths), base_folder(paths))
    check_embeddings(what, adapter, config_values, grown)
    config = PeftConfig.from_pretrained(str(adapter))
    config.inference_mode = False
    config.base_model_name_or_path = model.name_or_path  # peft asks the hub for it at each checkpoint
    if METHODS[settings.method].lora:
        config.lora_dropout = settings.lora.dropout
    keep_packing(model)
    try:
        with warnings.catch_warnings(), shown_wide(model, config.modules_to_save or ()):
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # named below
            warnings.filterwarnings("ignore", message="Unsupported layer type")  # norms, which peft tunes all the same
            tuned = PeftModel.from_pretrained(model, str(adapter), is_trainable=True, config=config)
        with safe_open(adapter / "adapter_model.safetensors", "pt") as tensors:
            stored = set(tensors.keys())
    except (ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{adapter}: the adapter does not fit the base: {reason}") from None
    held = adapter_keys(tuned)
    if other := sorted(held ^ stored):
        lacking = "has no place for" if other[0] in stored else "lacks"
        subject = "the base" if other[0] in stored else "the adapter"
        more = f" and {len(other) - 1} more tensors" if len(other) > 1 else ""
        raise ModelError(
            f"{adapter}: the adapter does not fit the base: {subject} {lacking} {other[0]}{more}; put an adapter of "
            "this base there."
        )
    widen_trained(tuned)
    scale_between(tuned)
    return tuned


def _check_base(adapter: Path, base: dict[str, Any], folder: Path) -> None:
    """Raise `ModelError` where the adapter was trained on another base, by its record or what it calls its base."""
    known = training_record(adapter).base
    if known and known != base["sha256"]:
        raise ModelError(
            f"{adapter}: the adapter was trained on a base with the hash {known[:12]}, but {PATHS.base} has "
            f"{base['sha256'][:12]}; restore the base that it was trained on, or put another adapter there."
        )
    check_origin(adapter, base["location"], folder, (), REMEDY)


def _check_agreement(what: str, settings: Tuning, adapter: Path) -> dict[str, Any]:
    """The adapter's configuration; `SettingsError` where `settings` say something else, which would have no effect."""
    config = adapter_config(adapter)
    kind = str(config["peft_type"])
    method = METHODS[settings.method]
    key = f"{PATHS.params}: {what}"
    if method.kind is None:
        raise SettingsError(
            f"{key}.start is an adapter, but {what}.method {settings.method} trains none; set it to lora."
        )
    if method.kind != kind:
        names = [name for name, other in METHODS.items() if other.kind == kind]
        advice = f"set it to {names[0]}" if names else "temper does not support this type"
        raise SettingsError(
            f"{key}.method is {settings.method}, but the adapter in {adapter} is of the kind {kind}; {advice}."
        )
    if kind in PROMPTS:
        raise SettingsError(
            f"{key}.start: peft cannot continue training the virtual tokens of {settings.method}; set {what}.start to "
            "null."
        )
    if not method.resumes:
        raise SettingsError(
            f"{key}.start: an adapter of {settings.method} does not hold its whole state, so training cannot continue "
            f"from it; set {what}.start to null."
        )
    initial = config.get("init_lora_weights")
    if isinstance(initial, str) and initial.split("_niter")[0] in CHANGES_BASE:
        raise SettingsError(
            f"{key}.start: the adapter in {adapter} changes the base's own weights when it is loaded "
            f"(init_lora_weights: {initial}); save it as plain LoRA, with path_initial_model_for_weight_conversion."
        )
    if "init_lora_weights" in {**method.preset, **settings.peft} or config.get("eva_config"):
        raise SettingsError(
            f"{key}.start: the adapter already has weights, but {what} says how to initialise new ones; set "
            f"{what}.method to lora, and remove init_lora_weights from {what}.peft."
            if not config.get("eva_config")
            else f"{key}.start: the adapter in {adapter} says that it is not initialised yet; set eva_config to null "
            "in its adapter_config.json."
        )
    if differing := _differing(settings, config):
        held, wanted = ("; ".join(f"{name} {values[side]}" for name, *values in differing) for side in (0, 1))
        raise SettingsError(
            f"{key}.start: the adapter in {adapter} has {held}, but {what} says {wanted}; set these keys to the "
            "adapter's values."
        )
    recorded = training_record(adapter)
    scheme = recorded.quantization.scheme if recorded.quantization else None
    if recorded.base and scheme != settings.quantized:
        raise SettingsError(
            f"{key}.quantization is {settings.quantized or 'null'}, but the adapter in {adapter} was trained on a base "
            f"in {scheme or 'full precision'}; set it to {scheme or 'null'}."
        )
    return config


def _shown(value: Any) -> str:
    """As people write it in params.yaml: 8, where it was read as 8.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _differing(settings: Tuning, config: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Keys of which the adapter has another value than the settings: name, value there, value here."""
    method = METHODS[settings.method]
    pairs: list[tuple[str, Any, Any]] = []
    if method.lora:
        lora = settings.lora
        pairs = [("lora.r", config.get("r"), lora.r), ("lora.alpha", config.get("lora_alpha"), lora.alpha)]
        targets, asked = config.get("target_modules"), lora.target_modules
        if isinstance(asked, list) or asked != "all-linear":
            there = sorted(targets) if isinstance(targets, list) else targets
            pairs.append(("lora.target_modules", there, sorted(asked) if isinstance(asked, list) else asked))
        for field, name in (("use_dora", "dora"), ("use_rslora", "rslora")):
            wanted = {**method.preset, **settings.peft}.get(field, False)
            pairs.append((f"{field} (method {name})", bool(config.get(field)), bool(wanted)))
    pairs += [(f"peft.{name}", config.get(name), value) for name, value in settings.peft.items() if name in config]
    return [(name, _shown(there), _shown(here)) for name, there, here in pairs if there != here]
