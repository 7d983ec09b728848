"""A score of your own: a Python function in data/scoring. It is your code, and runs as such."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, SettingsError
from tasks.named.functions import check_function, load_function
from tasks.named.names import inside

KEY = "evaluate.metrics"

ARGUMENTS = 3
"""Of a metric: output, reference, row."""


def check(path_and_name: str, scoring: Path) -> None:
    """Raise what `function` would raise for a function that is not there; nothing of it runs."""
    file, attribute = _parts(path_and_name, scoring)
    check_function(file, attribute, KEY, ARGUMENTS)


def function(path_and_name: str, scoring: Path) -> Callable[[str, str, dict[str, Any]], float]:
    """The function FILE.py:NAME of the folder `scoring`, with every answer checked to be a number.

    Raises `SettingsError` where it lies elsewhere, `InputError` where there is none.
    """
    file, attribute = _parts(path_and_name, scoring)
    user_function = load_function(file, attribute, KEY)

    def score(output: str, reference: str, row: dict[str, Any]) -> float:
        try:
            value = float(user_function(output, reference, row))
        except (Exception, SystemExit) as error:  # it runs in the process of the stage, which it does not end
            raise InputError(
                f"{file}: {attribute} failed on the row {row['id']} ({type(error).__name__}: {error})."
            ) from error
        if not 0 <= value <= 1:
            raise InputError(f"{file}: {attribute} gave {value} for the row {row['id']}; a score is from 0 to 1.")
        return value

    return score


def _parts(path_and_name: str, scoring: Path) -> tuple[Path, str]:
    file, _, attribute = path_and_name.partition(":")
    if not (file.endswith(".py") and attribute.isidentifier()):
        raise SettingsError(f"{KEY}: {path_and_name}: expected FILE.py:NAME with FILE.py in {scoring}.")
    return inside(scoring, file, KEY), attribute
