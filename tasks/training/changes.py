"""What of a training is not the default of trl or peft: what has to be set to do the same without temper."""

import dataclasses
from typing import Any

from tasks.training.arguments import effective

DEFAULTS = {"bf16": True, "activation_checkpointing": True}
"""What trl makes of its own None."""

RESOLVED = ("accelerator_config", "debug", "eos_token", "pad_to_multiple_of", "pad_token", "report_to")
"""Arguments that trl or transformers fill in; they differ from their defaults only where params.yaml names them."""

MACHINERY = ("save_", "eval_", "load_best", "metric_for_best", "greater_is", "do_", "per_device_eval_")
"""Beginnings of the names of arguments for checkpoints and validation, which change no weight."""

OWN = ("base_model_name_or_path", "inference_mode", "peft_type", "peft_version")
"""Fields of an adapter's configuration that peft fills in."""


def changes(trainer: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """`arguments` of trl and `peft` (`kind`, the class, and `fields`), each without what is the default there; as JSON.

    `asked`: the arguments that params.yaml names. `peft` is None where the model's own weights are tuned. Arguments for
    checkpoints and validation are left out.
    """
    defaults = {**_defaults(type(trainer.args)), **DEFAULTS}
    values = {**effective(trainer.args), **asked}
    arguments = {
        name: value
        for name, value in values.items()
        if name in defaults
        and not name.startswith(MACHINERY)
        and (name in asked or name not in RESOLVED)
        and value != defaults[name]
    }
    configurations = getattr(trainer.model, "peft_config", None)
    return {"arguments": arguments, "peft": _adapter(configurations["default"]) if configurations else None}


def _adapter(configuration: Any) -> dict[str, Any]:
    kind = type(configuration)
    fields = {
        name: value
        for name, default in _defaults(kind).items()
        if name not in OWN and (value := _plain(getattr(configuration, name))) != _plain(default)
    }
    return {"kind": kind.__name__, "fields": fields}


def _defaults(kind: Any) -> dict[str, Any]:
    """Field -> its default; fields without one are left out."""
    missing = dataclasses.MISSING
    return {
        field.name: field.default_factory() if field.default_factory is not missing else field.default
        for field in dataclasses.fields(kind)
        if field.default is not missing or field.default_factory is not missing
    }


def _plain(value: Any) -> Any:
    """`value` as JSON holds it; a set, whose order is that of hashes, sorted."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in sorted(value.items())}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(getattr(value, "value", value))
