"""A score of your own: a Python function in data/scoring. It is your code, and runs as such."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, SettingsError


def function(place: str, scoring: Path) -> Callable[[str, str, dict[str, Any]], float]:
    """The function FILE.py:NAME of the folder `scoring`, with every answer checked to be a number.

    Raises `SettingsError` where there is none.
    """
    name, _, attribute = place.partition(":")
    file = scoring / name
    spec = importlib.util.spec_from_file_location(f"scoring_{file.stem}", file) if file.is_file() else None
    if not attribute or spec is None or spec.loader is None or scoring.resolve() not in file.resolve().parents:
        raise SettingsError(f"evaluate.metrics: {place}: expected FILE.py:NAME with FILE.py in {scoring}.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        called = getattr(module, attribute)
    except Exception as error:  # a stranger's module may raise anything
        raise SettingsError(f"{file}: {attribute} cannot be loaded ({type(error).__name__}: {error}).") from error

    def score(output: str, reference: str, row: dict[str, Any]) -> float:
        try:
            given = float(called(output, reference, row))
        except Exception as error:
            raise InputError(
                f"{file}: {attribute} failed on the row {row['id']} ({type(error).__name__}: {error})."
            ) from error
        if not 0 <= given <= 1:
            raise InputError(f"{file}: {attribute} gave {given} for the row {row['id']}; a score is from 0 to 1.")
        return given

    return score
