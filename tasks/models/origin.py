"""Whether an adapter without a record of its training belongs to the base: by what it calls its base, or by your word.

Its shapes fit any model of the same architecture, and merged into another one it is noise, without an error anywhere.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.models.record import describe, identity
from tasks.models.skeleton import configured_base

UNNAMED = "unnamed"
"""What `merge.base_names` calls the base of an adapter that names none."""

NAMED = "add {name!r} to merge.base_names"


def check_origin(folder: Path, location: str, base: Path, names: Collection[str], remedy: str = NAMED) -> None:
    """Raise `ModelError` unless the adapter in `folder` was trained on the model in `base`, as far as it tells.

    `location`: what the base is called: a name on the hub, or a folder. `names`: what else it is called, by the key
    merge.base_names. `remedy`: what to do where it is the very same model by another name. An adapter that temper
    trained is told by the hash of its base, see `tasks.merge.adapter`.
    """
    if _recorded(folder):
        return
    config = json.loads((folder / "adapter_config.json").read_text())
    name = str(config.get("base_model_name_or_path") or UNNAMED)
    if name in names or name == location or _same_model(name, base):
        return
    named = "names no base" if name == UNNAMED else f"was trained on {name}"
    raise ModelError(
        f"{folder}: the adapter {named} (adapter_config.json), the base is {location}, and no training.json has a hash "
        "to compare. "
        f"If that is the same model, {remedy.format(name=name, location=location)}; otherwise use the adapter's own "
        "base."
    )


def check_configured(folders: Collection[Path], names: Collection[str]) -> None:
    """As `check_origin`, of adapters that are there, before any stage has run; where the base is a model already."""
    if (configured := configured_base()) is not None:
        for folder in folders:
            check_origin(folder, *configured, names)


def _recorded(folder: Path) -> bool:
    """Whether a training.json tells the base."""
    file = folder / "training.json"
    record: Any = json.loads(file.read_text()) if file.is_file() else {}
    return bool(record.get("base"))


def _same_model(name: str, base: Path) -> bool:
    """Whether `name` is a folder on this machine with the same files as the base."""
    folder = Path(name)
    if not (folder / "config.json").is_file():
        return False
    return folder.resolve() == base.resolve() or _weights(folder) == _weights(base)


def _weights(folder: Path) -> str:
    """One hash of what decides what a model computes, its tokenizer apart."""
    files = describe(folder)
    return identity({name: facts for name, facts in files.items() if name == "config.json" or "safetensors" in name})
