"""Answers that are one of some classes: which class a text is."""

import json
import string
from collections import Counter
from contextlib import suppress
from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.core.errors import InputError
from tasks.evaluate.questions import extras
from tasks.evaluate.settings import Metric

Row = dict[str, Any]

MOST = 1000
"""Classes that references may stand for without being listed; more are texts."""

FEW = 20
"""Rows of which each may have a class of its own."""


READER = ReasoningReader()
"""Of every candidate alike: which class a reference is of does not depend on who is asked."""


class Classes:
    """The classes of a metric. A text is one of them but for case, white space, and punctuation at its ends."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        forms = {name: _form(name) for name in names}
        counts = Counter(forms.values())
        # "+" and "-" are classes, too, and stay apart
        self._by_form = {form: name for name, form in forms.items() if counts[form] == 1 and form}
        self._exact = {_spaced(name): name for name in names}

    @classmethod
    def of(cls, metric: Metric, rows: list[Row]) -> "Classes":
        """Those that the metric lists, or else all that are a reference of `rows`, the whole of the test split.

        Raises `InputError` where these are no classes, or where a reference is not among those that are listed.
        """
        references = [(row["id"], reference_of(row)) for row in rows]
        classes = cls(list(metric.choices) or sorted({_spaced(text) for _, text in references}))
        count = len(classes.names)
        if not metric.choices and (count > MOST or count == len(rows) > FEW):
            raise InputError(
                f"evaluate: {metric.column}: {count} different references in {len(rows)} rows are too many to be "
                "classes; list the classes in the metric's choices, or use a metric that compares texts."
            )
        for row_id, text in references:
            if classes.named(text) is None:
                raise InputError(
                    f"evaluate: {metric.column}: the reference {text!r} of the row {row_id} is not one of the metric's "
                    f"choices {list(metric.choices)!r}; add it there, or remove choices."
                )
        return classes

    def named(self, text: str) -> str | None:
        """What `text` says, as predictions have it; None for a text that is no class."""
        return self.one(text)

    def one(self, text: str) -> str | None:
        """The class that `text` is; None for a text that is none.

        >>> Classes(["card_arrival", "lost_card"]).one(" Lost_card.")
        'lost_card'
        """
        return self._exact.get(_spaced(text)) or self._by_form.get(_form(text))

    def of_row(self, row: Row) -> str:
        """The class of a row's reference, as predictions have it."""
        return self.named(reference_of(row)) or _spaced(reference_of(row))

    def all_of_row(self, row: Row) -> set[str]:
        """Every class of a row's reference."""
        return {self.of_row(row)}


def reference_of(row: Row) -> str:
    """The answer that a row ends in, without its reasoning."""
    return READER.of_message(row["messages"][-1]).answer


def row_choices(row: Row, metric: Metric, reference: str) -> list[str]:
    """What a row of `multiple_choice` has to choose from; raises `InputError` where `reference` is not among it."""
    choices = metric.choices or extras(row).get("choices") or []
    with suppress(ValueError):
        choices = json.loads(choices) if isinstance(choices, str) else choices
    if not isinstance(choices, list) or len(choices) < 2 or reference not in choices:
        raise InputError(
            f"evaluate: {metric.column}: the reference {reference!r} of the row {row['id']} is not one of its choices "
            f"{choices!r}; give evaluate.metrics choices, or the row's last message a key `choices`."
        )
    return [str(choice) for choice in choices]


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _form(text: str) -> str:
    return _spaced(text.casefold().strip(string.punctuation + string.whitespace))
