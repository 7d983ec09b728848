"""Which classes the answers of rows name: each the one that it is, or those that it lists.

>>> named("one", ["lost  card"], "train"), named("several", ['["late", "broken"]', "[]"], "train")
([('lost card',)], [('late', 'broken'), ()])
"""

from collections.abc import Callable
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
        _refuse(
            answers,
            lambda row: lists[row] is not None,
            split,
            "a list of classes as their answer",
            "set train.labels to several, or give each row one class",
        )
        return [(" ".join(answer.split()),) for answer in answers]
    _refuse(
        answers,
        lambda row: lists[row] is None,
        split,
        "an answer that is no JSON list of class names",
        'write ["NAME", "NAME"], or [] where no class applies, let clean.columns.classes read them, or set '
        "train.labels to one",
    )
    every = [row or () for row in lists]
    _refuse(
        answers, lambda row: "" in every[row], split, "a class without a name in their list", "name it, or remove it"
    )
    _refuse(
        answers,
        lambda row: len({*every[row]}) < len(every[row]),
        split,
        "a class twice in their list",
        "name each class once",
    )
    return every


def _refuse(answers: list[str], wrong: Callable[[int], bool], split: str, what: str, advice: str) -> None:
    rows = [row for row in range(len(answers)) if wrong(row)]
    if not rows:
        return
    shown = repr(answers[rows[0]][:SHOWN])
    raise InputError(
        f"train.objective classify: {counted(len(rows), 'rows')} of {split} have {what}, such as {shown}; {advice}."
    )
