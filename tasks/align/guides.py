"""What users put into data/guides for alignment to learn from: models, and functions of their own."""

import importlib
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, SettingsError
from tasks.core.paths import Paths
from tasks.named.functions import check_function, check_installed, load_function
from tasks.named.names import inside

ARGUMENTS = 3
"""Of a reward function: prompt, answer, reference."""


def model(paths: Paths, name: str, key: str) -> Path:
    """The folder `name` in data/guides that `key` asks for.

    Raises `InputError` where it holds no model, `SettingsError` where it lies elsewhere.
    """
    folder = inside(paths.guides, name, key)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no such folder, but {key} names this model; put it there.")
    return folder


def weights(paths: Paths, name: str | None) -> int:
    """Numbers in the model `name` in data/guides, by the headers of its files; 0 where there is none."""
    from safetensors import SafetensorError

    from tasks.training.estimate import read_shapes

    try:
        return (
            sum(shape.count for shape in read_shapes(inside(paths.guides, name, "align.teacher")).values())
            if name
            else 0
        )
    except (SafetensorError, SettingsError):
        return 0  # said by whoever loads it


def function(paths: Paths, name: str, key: str) -> Any:
    """The function file.py:function in data/guides, or package.module:function of an installed package.

    Raises `InputError`, whatever the user's file does, with the key that names it; `SettingsError` for one elsewhere.
    """
    module, _, attribute = name.partition(":")
    if _is_file(module):
        return load_function(inside(paths.guides, module, key), attribute, key)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever a module does
        raise InputError(f"{module}: {key} cannot be loaded from it: {type(error).__name__}: {error}") from None


def check(paths: Paths, name: str, key: str) -> None:
    """Raise what `function` would raise for a function that is not there; nothing of it runs."""
    module, _, attribute = name.partition(":")
    if _is_file(module):
        check_function(inside(paths.guides, module, key), attribute, key, ARGUMENTS)
    else:
        check_installed(module, attribute, key, ARGUMENTS)


def _is_file(module: str) -> bool:
    return module.endswith(".py") or "/" in module or "\\" in module
