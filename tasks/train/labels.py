"""Which classes the answers of rows name: each the one that it is, or those that it lists.

>>> named(["lost  card"], "train", several=False), named(['["late", "broken"]', "[]"], "train", several=True)
([('lost card',)], [('late', 'broken'), ()])
"""

from tasks.core.errors import InputError
from tasks.core.numbers import counted
from tasks.rows.label_lists import labels_in

Named = tuple[str, ...]
"""The classes of a row, each with single spaces."""

SHOWN = 60
"""Characters of an answer that a sentence shows."""


def named(answers: list[str], split: str, *, several: bool) -> list[Named]:
    """The classes of each row of `split`, by its answer; `several`: it lists any number of them.

    Raises `InputError` where rows have one class and others lists of them, or a list is not what it should be.
    """
    lists = [labels_in(answer) for answer in answers]
    if not several:
        _refuse(
            [answer for answer, row in zip(answers, lists, strict=True) if row is not None],
            ("the answer", "is a list of classes"),
            split,
            "set train.labels to several, or give each row one class",
        )
        return [(" ".join(answer.split()),) for answer in answers]
    _refuse(
        [answer for answer, row in zip(answers, lists, strict=True) if row is None],
        ("the answer", "is not a JSON list of class names"),
        split,
        'write ["NAME", "NAME"], or [] where no class applies, let clean.columns.classes read them, or set '
        "train.labels to one",
    )
    every = [row or () for row in lists]
    _refuse(
        [answer for answer, row in zip(answers, every, strict=True) if "" in row],
        ("the list", "has a class without a name"),
        split,
        "name it, or remove it",
    )
    _refuse(
        [answer for answer, row in zip(answers, every, strict=True) if len({*row}) < len(row)],
        ("the list", "has a class twice"),
        split,
        "name each class once",
    )
    return every


def _refuse(wrong: list[str], what: tuple[str, str], split: str, advice: str) -> None:
    """Raise `InputError` where there are `wrong` answers; `what` is wrong stands before and behind their number."""
    if not wrong:
        return
    before, behind = what
    raise InputError(
        f"train.objective classify: {before} of {counted(len(wrong), 'rows')} of {split} {behind}, such as "
        f"{wrong[0][:SHOWN]!r}; {advice}."
    )
