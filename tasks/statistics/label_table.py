"""How well each class is told where a row has any number of them.

>>> facts = label_table([{"a"}, {"a", "b"}, set()], [{"a"}, {"a"}, {"b"}])
>>> facts["classes"]["b"]["recall"], describe_labels(facts)[0]
(0.0, '1 of 2 classes is at 0.00: b.')
"""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from tasks.core.numbers import counted
from tasks.statistics.confusion import describe_confusion, describe_never

Rows = Sequence[AbstractSet[str] | None]
"""The classes of each row; None for an answer that is no list of them."""


def label_table(truth: Rows, answers: Rows) -> dict[str, Any]:
    """What is known of each class that a reference or an answer names: `classes`; `no_class`, answers that are no list
    of classes; `n`; `named`, classes of all references; `frequent`, the commonest list and its rows.

    A class has `support` (rows), `answered` (rows whose answer names it), `precision`, `recall` and `f1` (0 where
    nothing was so, as in scikit-learn).
    """
    named = [row or frozenset[str]() for row in truth]
    support = Counter(name for row in named for name in row)
    answered = Counter(name for row in answers for name in row or ())
    right = Counter(name for row, answer in zip(named, answers, strict=True) for name in row & (answer or set()))
    lists = Counter(tuple(sorted(row)) for row in named)
    commonest = min(lists, key=lambda row: (-lists[row], row))
    return {
        "n": len(truth),
        "no_class": sum(answer is None for answer in answers),
        "named": support.total(),
        "frequent": {"classes": list(commonest), "rows": lists[commonest]},
        "classes": {
            name: {
                "support": support[name],
                "answered": answered[name],
                "precision": round(right[name] / answered[name], 4) if answered[name] else 0.0,
                "recall": round(right[name] / support[name], 4) if support[name] else 0.0,
                "f1": round(2 * right[name] / (support[name] + answered[name]), 4),
            }
            for name in sorted(support | answered)
        },
    }


def row_f1(truth: AbstractSet[str], answer: AbstractSet[str] | None) -> float:
    """F1 of a row, from 0 to 1: 1 where both name no class, 0 where the answer is no list of classes.

    >>> row_f1({"a", "b"}, {"b", "c"}), row_f1(set(), set()), row_f1(set(), None)
    (0.5, 1.0, 0.0)
    """
    if answer is None:
        return 0.0
    return 2 * len(truth & answer) / (len(truth) + len(answer)) if truth or answer else 1.0


def has_lists(facts: dict[str, Any]) -> bool:
    """Whether `facts` are those of rows with any number of classes, and not of one each (`confusion`)."""
    return "frequent" in facts


def describe_classes(facts: dict[str, Any]) -> list[str]:
    """What a mean hides, whichever facts these are."""
    return describe_labels(facts) if has_lists(facts) else describe_confusion(facts)


def describe_labels(facts: dict[str, Any]) -> list[str]:
    """Classes that are never right, the one that is missed most, the one that is named wrongly most, and answers that
    are no list."""
    asked = {name: one for name, one in facts["classes"].items() if one["support"]}
    sentences = describe_never(asked)
    missed = {name: round(one["support"] * (1 - one["recall"])) for name, one in asked.items()}
    added = {name: round(one["answered"] * (1 - one["precision"])) for name, one in facts["classes"].items()}
    for counts, rows, what in ((missed, "support", "missed"), (added, "answered", "named wrongly")):
        worst = min(counts, key=lambda name: (-counts[name], name), default=None)
        if worst is not None and counts[worst]:
            whole = facts["classes"][worst][rows]
            where = "rows that have it" if rows == "support" else "answers that name it"
            sentences.append(f"{worst} is {what} most: {counts[worst]} of {whole} {where}.")
    if facts["no_class"]:
        verb = "is" if facts["no_class"] == 1 else "are"
        sentences.append(f"{facts['no_class']} of {counted(facts['n'], 'answers')} {verb} no list of classes.")
    return sentences
