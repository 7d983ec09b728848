"""A score of your own: a Python function in data/scoring. It is your code, and runs as such."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, SettingsError


def function(path_and_name: str, scoring: Path) -> Callable[[str, str, dict[str, Any]], float]:
    """The function FILE.py:NAME of the folder `scoring`, with every answer checked to be a number.

    Raises `SettingsError` where there is none.
    """
    file_name, _, attribute = path_and_name.partition(":")
    file = scoring / file_name
    spec = importlib.util.spec_from_file_location(f"scoring_{file.stem}", file) if file.is_file() else None
    if not attribute or spec is None or spec.loader is None or scoring.resolve() not in file.resolve().parents:
        raise SettingsError(f"evaluate.metrics: {path_and_name}: expected FILE.py:NAME with FILE.py in {scoring}.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        user_function = getattr(module, attribute)
    except Exception as error:  # a stranger's module may raise anything
        raise SettingsError(f"{file}: {attribute} cannot be loaded ({type(error).__name__}: {error}).") from error

    def score(output: str, reference: str, row: dict[str, Any]) -> float:
        try:
            value = float(user_function(output, reference, row))
        except Exception as error:
            raise InputError(
                f"{file}: {attribute} failed on the row {row['id']} ({type(error).__name__}: {error})."
            ) from error
        if not 0 <= value <= 1:
            raise InputError(f"{file}: {attribute} gave {value} for the row {row['id']}; a score is from 0 to 1.")
        return value

    return score
