"""Answers that must be JSON. A fence of Markdown around it does not count against them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import SettingsError

FENCE = re.compile(r"^\s*```[a-zA-Z0-9_+-]*[ \t]*\n(.*?)\n?```\s*$", re.DOTALL)


def unfenced(text: str) -> str:
    """What stands in a fence of Markdown that is all of `text`, or `text`."""
    fence = FENCE.match(text)
    return fence[1] if fence else text


def value(text: str) -> Any:
    """The JSON value that `text` is; raises `ValueError`. `NaN` is none, and a nest too deep to be read neither."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(unfenced(text), parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def valid(output: str, reference: str) -> float:
    """1 where the output is JSON."""
    try:
        value(output)
    except ValueError:
        return 0.0
    return 1.0


def equal(output: str, reference: str) -> float:
    """1 where output and reference are the same JSON value; 1 and 1.0 are, 1 and true are not."""
    try:
        return float(_typed(value(output)) == _typed(value(reference)))
    except (ValueError, RecursionError):
        return 0.0


def schema(file: Path) -> Callable[[str], float]:
    """A function that gives 1 for JSON which fits the schema in `file`. Raises `SettingsError` for no valid schema."""
    from jsonschema import SchemaError, ValidationError
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable

    try:
        rules = json.loads(file.read_text(encoding="utf-8"))
        kind = validator_for(rules)
        kind.check_schema(rules)
    except FileNotFoundError:
        raise SettingsError(f"{file}: no such file, but evaluate.metrics names it as a schema; add the file.") from None
    except (ValueError, SchemaError) as error:
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise SettingsError(f"{file}: not a valid JSON Schema ({reason}); fix it, or remove the metric.") from None
    validator = kind(rules)

    def fits(output: str) -> float:
        try:
            validator.validate(value(output))
        except Unresolvable as error:
            raise SettingsError(f"{file}: {error}; a schema may refer to itself only.") from None
        except (ValueError, ValidationError, RecursionError):
            return 0.0
        return 1.0

    return fits


def _typed(item: Any) -> Any:
    """A value in which booleans are not numbers."""
    if isinstance(item, bool):
        return ("bool", item)
    if isinstance(item, dict):
        return {key: _typed(inner) for key, inner in item.items()}
    return [_typed(inner) for inner in item] if isinstance(item, list) else item
