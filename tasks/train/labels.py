"""Which classes the answers of rows name: each the one that it is, or those that it lists.

>>> named("one", ["lost  card"], "train"), named("several", ['["late", "broken"]', "[]"], "train")
([('lost card',)], [('late', 'broken'), ()])
"""

from typing import Literal

from tasks.core.errors import InputError
from tasks.core.numbers import counted
from tasks.rows.label_lists import labels_in

Labels = Literal["one", "several"]
Named = tuple[str, ...]
"""The classes of a row, each with single spaces."""

SHOWN = 60
"""Characters of an answer that a sentence shows."""


def named(labels: Labels, answers: list[str], split: str) -> list[Named]:
    """The classes of each row of `split`, by its answer.

    Raises `InputError` where rows have one class and others lists of them, or a list is not what it should be.
    """
    lists = [labels_in(answer) for answer in answers]
    if labels == "one":
        advice = "set train.labels to several, or give each row one class"
        _refuse(
            answers, [row is not None for row in lists], f"the answer of {{}} of {split} is a list of classes", advice
        )
        return [(" ".join(answer.split()),) for answer in answers]
    every = [row or () for row in lists]
    for wrong, what, advice in (
        (
            [row is None for row in lists],
            f"the answer of {{}} of {split} is no JSON list of class names",
            'write ["NAME", "NAME"], or [] where no class applies, let clean.columns.classes read them, or set '
            "train.labels to one",
        ),
        (
            ["" in row for row in every],
            f"the list of {{}} of {split} has a class without a name",
            "name it, or remove it",
        ),
        (
            [len({*row}) < len(row) for row in every],
            f"the list of {{}} of {split} has a class twice",
            "name each class once",
        ),
    ):
        _refuse(answers, wrong, what, advice)
    return every


def _refuse(answers: list[str], wrong: list[bool], what: str, advice: str) -> None:
    """Raise `InputError` where a row is wrong; `what` has a place for how many are."""
    rows = [answer for answer, is_wrong in zip(answers, wrong, strict=True) if is_wrong]
    if rows:
        raise InputError(
            f"train.objective classify: {what.format(counted(len(rows), 'rows'))}, such as {rows[0][:SHOWN]!r}; "
            f"{advice}."
        )
