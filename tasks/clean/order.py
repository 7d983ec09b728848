"""The key by whose values training goes: a number in each training row, or a text in each."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tasks.core.errors import InputError
from tasks.core.numbers import counted

Kind = Literal["number", "text", "missing", "other"]


def value_kind(value: Any) -> Kind:
    """What a value is; numbers that are not finite, truth values, lists and objects are `other`.

    >>> [value_kind(value) for value in (3, "easy", None, True, float("nan"))]
    ['number', 'text', 'missing', 'other', 'other']
    """
    if value is None or value == "":
        return "missing"
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "other"
    try:
        return "number" if math.isfinite(value) else "other"
    except OverflowError:  # an integer beyond every float
        return "other"


@dataclass
class OrderValues:
    """How many training rows have which kind of value, and where the first of each stands."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    """Kind -> file and line."""

    def add(self, value: Any, where: str) -> None:
        """Note the value of a row at `where`."""
        kind = value_kind(value)
        self.counts[kind] += 1
        self.first.setdefault(kind, where)

    def merge(self, later: "OrderValues") -> None:
        """Take in what was noted of the rows that follow."""
        self.counts.update(later.counts)
        self.first = {**later.first, **self.first}

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return bool(self.counts["number"])

    def check(self, key: str, where: Path) -> None:
        """Raise `InputError` where a row has no value, one that has no order, or one of another kind than others."""
        total = counted(self.counts.total(), "training rows")
        advice = "fix these rows, or set clean.order_key to null"
        for kind, what in (("missing", "have no"), ("other", "have neither a number nor a text as")):
            if count := self.counts[kind]:
                raise InputError(
                    f"clean.order_key: {count:,} of {total} in {where} {what} '{key}', the first at "
                    f"{self.first[kind]}; {advice}."
                )
        if self.counts["number"] and self.counts["text"]:
            raise InputError(
                f"clean.order_key: '{key}' is a number in {self.counts['number']:,} of {total} in {where} "
                f"({self.first['number']}) and a text in {self.counts['text']:,} ({self.first['text']}), which cannot "
                f"be sorted together; {advice}."
            )
