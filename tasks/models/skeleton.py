"""The base without its weights: what its layers are called, known from its configuration before any stage has run."""

from pathlib import Path
from typing import Any

from tasks.core.errors import SettingsError
from tasks.core.settings import PARAMS, read
from tasks.models.classes import auto_class


def base_skeleton(*, scores: bool = False) -> Any:
    """The base that params.yaml names, on torch's meta device; None where its configuration cannot be read yet.

    `scores`: with the head of a reward model.
    """
    configured = configured_base()
    if configured is None:
        return None
    _, folder = configured
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        kind: Any = AutoModelForSequenceClassification if scores else auto_class(config)
        with torch.device("meta"):
            return kind.from_config(config, trust_remote_code=False)
    except Exception:  # whatever is wrong with a base is said by the stage base, and by the check of its files
        return None


def configured_base() -> tuple[str, Path] | None:
    """What the base is called, and the folder with its configuration: of the project, or what the hub's cache has."""
    try:
        base = read(Path(PARAMS), "safe").get("base") or {}
    except SettingsError:
        return None
    if base.get("text"):
        return None
    if hub := base.get("hub"):
        from huggingface_hub import try_to_load_from_cache

        name, _, revision = str(hub).partition("@")
        file = try_to_load_from_cache(name, "config.json", revision=revision or None)
        return (name, Path(file).parent) if isinstance(file, str) else None
    folder = Path(str(base.get("folder", "")))
    return (str(folder), folder) if (folder / "config.json").is_file() else None
