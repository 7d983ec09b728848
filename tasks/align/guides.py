"""What users put into data/guides for alignment to learn from: models, and functions of their own."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError
from tasks.core.paths import Paths


def model(paths: Paths, name: str, key: str) -> Path:
    """The folder `name` in data/guides that `key` asks for; raises `InputError` where it holds no model."""
    folder = paths.guides / name
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no model here, which {key} asks for; put its folder there.")
    return folder


def function(paths: Paths, name: str, key: str) -> Any:
    """The function file.py:function in data/guides, or package.module:function of an installed package.

    Raises `InputError`, whatever the user's file does, with the key that names it.
    """
    module, _, attribute = name.partition(":")
    try:
        if module.endswith(".py"):
            spec = importlib.util.spec_from_file_location(module.removesuffix(".py"), paths.guides / module)
            assert spec and spec.loader
            loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
        else:
            loaded = importlib.import_module(module)
        return getattr(loaded, attribute)
    except Exception as error:  # whatever a user's file does
        raise InputError(
            f"{paths.guides / module if module.endswith('.py') else module}: {key} cannot be had from it: "
            f"{type(error).__name__}: {error}"
        ) from None
