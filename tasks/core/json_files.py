"""JSON files of models and records: small, an object, of the form that is expected. All else is one clear error.

record = read_as(Record, paths.base / "base.json", ModelError, "run the stage base again")
"""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tasks.core.errors import InputError, TemperError

LARGEST = 2**26
"""Bytes of the largest file that is read."""

DEEPEST = 100
"""Levels of the deepest value: whoever copies or writes a deeper one would run out of stack."""

Model = TypeVar("Model", bound=BaseModel)


def read_object(path: Path, kind: type[TemperError] = InputError, remedy: str = "restore the file") -> dict[str, Any]:
    """The object in a JSON file.

    Raises `FileNotFoundError` where there is none, and an error of `kind`, ending in what to do (`remedy`), where it is
    no file, too large, no JSON, nested too deep, or another value than an object.
    """
    value = _read(path, kind, remedy)
    if not isinstance(value, dict):
        raise kind(f"{path}: a JSON object is expected; {remedy}.")
    return value


def read_objects(path: Path, kind: type[TemperError] = InputError, remedy: str = "restore it") -> list[dict[str, Any]]:
    """The objects in a JSON file that holds a list of them; raises as `read_object`."""
    value = _read(path, kind, remedy)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise kind(f"{path}: a list of JSON objects is expected; {remedy}.")
    return value


def _read(path: Path, kind: type[TemperError], remedy: str) -> Any:
    if path.exists() and not path.is_file():
        raise kind(f"{path}: no file; {remedy}.")
    if (size := path.stat().st_size) > LARGEST:
        raise kind(f"{path}: {size:,} bytes are too many for such a file; {remedy}.")
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise kind(f"{path}: not valid JSON ({reason}); {remedy}.") from None
    if depth(value) > DEEPEST:
        raise kind(f"{path}: nested deeper than {DEEPEST} levels; {remedy}.")
    return value


def read_as(model: type[Model], path: Path, kind: type[TemperError] = InputError, remedy: str = "restore it") -> Model:
    """The object in a JSON file, of the form `model`; raises as `read_object`, and for a key of another form."""
    try:
        return model.model_validate(read_object(path, kind, remedy))
    except ValidationError as error:
        faults = error.errors()
        fault = next((one for one in faults if one["type"] == "value_error"), faults[0])  # a choice has several
        key = ".".join(str(part) for part in fault["loc"])
        shown = "" if fault["type"] == "missing" else f" = {_short(fault['input'])}"
        message = fault["msg"].removeprefix("Value error, ")
        raise kind(f"{path}: {key}{shown}: {message[0].lower()}{message[1:]}; {remedy}.") from None


def json_value(text: str) -> Any:
    """The JSON value that a text within a row is. Raises `ValueError` where it is none, or nested too deep.

    >>> json_value('{"a": [1]}')
    {'a': [1]}
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if depth(value) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return value


def depth(value: Any) -> int:
    """Levels of lists and objects within `value`, counted up to one more than are allowed.

    >>> depth({"a": [1, {"b": 2}]})
    3
    """
    level, layer = 0, [value]
    while level <= DEEPEST and (layer := [each for each in layer if isinstance(each, dict | list)]):
        level += 1
        layer = [each for outer in layer for each in (outer.values() if isinstance(outer, dict) else outer)]
    return level


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
