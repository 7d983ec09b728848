"""Switches and weights as files write them: one value, whether it came as JSON, as text in a CSV, or from a table."""

import math
from decimal import Decimal
from typing import Any

_WORDS = {"true": True, "false": False}


def as_flag(value: Any) -> bool | None:
    """Whether a value is true or false; None where it is neither.

    A table with a gap turns 1 into 1.0, a CSV into "1" or "True": all of them are one value.

    >>> as_flag(1.0), as_flag("False"), as_flag("maybe"), as_flag(2)
    (True, False, None, None)
    """
    if isinstance(value, str) and (word := _WORDS.get(value.strip().lower())) is not None:
        return word
    number = as_number(value)
    return bool(number) if number in (0, 1) else None


def as_number(value: Any) -> float | None:
    """A finite number, also one that is written as text; None where it is none. True is 1.

    >>> as_number("0.50"), as_number(True), as_number("nan")
    (0.5, 1.0, None)
    """
    if not isinstance(value, bool | int | float | Decimal | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
