"""Answers that are lists of any number of classes: which classes a text names."""

from tasks.core.errors import InputError
from tasks.evaluate.classes import MOST, Classes, Row, reference_of
from tasks.evaluate.metrics.structure import unfenced
from tasks.evaluate.settings import Metric
from tasks.rows.label_lists import as_answer, labels_in


class ClassLists(Classes):
    """The classes of a metric whose answers are JSON lists of them; a fence of Markdown around one does no harm."""

    @classmethod
    def of(cls, metric: Metric, rows: list[Row]) -> "ClassLists":
        """Those that the metric lists, or else all that a reference of `rows`, the whole of the test split, names.

        Raises `InputError` for a reference that is no list of classes, or names one that is not listed.
        """
        names: set[str] = set()
        for row in rows:
            text = reference_of(row)
            if (labels := labels_in(text)) is None or "" in labels:
                raise InputError(
                    f"evaluate: {metric.column}: the reference {text!r} of the row {row['id']} is not a JSON list of "
                    'class names; write ["NAME", "NAME"], or [] where no class applies, let '
                    "clean.columns.classes read it, or use the metric classification."
                )
            names |= {*labels}
        if not names or len(names) > MOST:
            raise InputError(
                f"evaluate: {metric.column}: the test rows name {len(names):,} classes, but the metric needs 1 to "
                f"{MOST:,}; use another metric, or other rows."
            )
        classes = cls(list(metric.choices) or sorted(names))
        if metric.choices and (lacking := sorted(name for name in names if classes.one(name) is None)):
            raise InputError(
                f"evaluate: {metric.column}: {lacking[0]!r}, which test rows name, is not one of the metric's choices "
                f"{list(metric.choices)!r}; add it there, or remove choices."
            )
        return classes

    def named(self, text: str) -> str | None:
        """The classes that `text` lists, sorted, as a JSON list; None where it is none. Others stay in it as they are.

        >>> ClassLists(["late", "lost card"]).named('["Lost card", "late", "late", "odd"]')
        '["late", "lost card", "odd"]'
        """
        labels = labels_in(unfenced(text))
        return None if labels is None else as_answer(sorted({self.one(name) or name for name in labels}))

    def all_of_row(self, row: Row) -> set[str]:
        """Every class of a row's reference."""
        return {*(labels_in(self.of_row(row)) or ())}


def known_classes(metric: Metric, rows: list[Row]) -> Classes:
    """The classes of a metric of classes; see `Classes.of` and `ClassLists.of`."""
    return (ClassLists if metric.several else Classes).of(metric, rows)
