"""How well each class is told from the others.

>>> describe_confusion(confusion(["a", "b", "b"], ["a", "a", "b"]))
['a and b are confused most: 1 of their 3 rows.']
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

from tasks.core.numbers import counted, enumerated

SHOWN = 10
"""Classes that a sentence names."""


def confusion(truth: list[str], answers: list[str | None]) -> dict[str, Any]:
    """What is known of each class that is a reference or an answer: `classes`; `no_class`, answers that are none; `n`.

    A class has `support` (rows), `precision`, `recall`, `f1` (0 where nothing was so, as in scikit-learn), `answers`,
    its row of the confusion matrix without zeros, and `no_class`.
    """
    named = {*truth, *(answer for answer in answers if answer is not None)}
    by_class: dict[str, Counter[str | None]] = {name: Counter() for name in sorted(named)}
    for name, answer in zip(truth, answers, strict=True):
        by_class[name][answer] += 1
    answered = Counter(answers)
    classes = {}
    for name, counts in by_class.items():
        right, support = counts[name], counts.total()
        classes[name] = {
            "support": support,
            "precision": round(right / answered[name], 4) if answered[name] else 0.0,
            "recall": round(right / support, 4) if support else 0.0,
            "f1": round(2 * right / (support + answered[name]), 4),
            "no_class": counts[None],
            "answers": {str(answer): counts[answer] for answer in sorted(counts.keys() - {None}, key=str)},
        }
    return {"n": len(truth), "no_class": answered[None], "classes": classes}


def describe_confusion(facts: dict[str, Any]) -> list[str]:
    """What a mean hides: classes that are never right, the two that are confused most, answers that are no class."""
    classes = facts["classes"]
    asked = {name: one for name, one in classes.items() if one["support"]}
    sentences = describe_never(asked)
    confused: Counter[tuple[str, str]] = Counter()
    for name, one in classes.items():
        for answer, count in one["answers"].items():
            if answer != name:
                confused[min(name, answer), max(name, answer)] += count
    if confused:
        (first, second), count = min(confused.items(), key=lambda item: (-item[1], item[0]))
        rows = classes[first]["support"] + classes[second]["support"]
        sentences.append(f"{first} and {second} are confused most: {count} of their {rows} rows.")
    if facts["no_class"]:
        sentences.append(_no_class(facts["no_class"], facts["n"], asked))
    return sentences


def _no_class(count: int, n: int, asked: dict[str, Any]) -> str:
    if count == n:
        return f"None of the {counted(n, 'answers')} is one of the classes."
    worst = max(asked, key=lambda name: (asked[name]["no_class"], name))
    most = asked[worst]["no_class"]
    where = f", most often where {worst} is right ({most} times)" if most > 1 else ""
    return f"{count:,} of {counted(n, 'answers')} {'is' if count == 1 else 'are'} none of the classes{where}."


def describe_never(asked: dict[str, Any]) -> list[str]:
    """The classes with rows whose F1 is 0, in a sentence; none where there are none."""
    never = [name for name, one in asked.items() if not one["f1"]]
    verb = "is" if len(never) == 1 else "are"
    return [f"{len(never)} of {len(asked)} classes {verb} at 0.00: {_listed(never)}."] if never else []


def describe_untested(learned: Collection[str], tested: Collection[str]) -> list[str]:
    """The classes that a model has learned and no row of the test has, in a sentence; none where there are none.

    >>> describe_untested(["up", "down", "left"], {"up", "left"})
    ['No test row has the class down, of 3 that are learned: nothing is known of how well it is predicted.']
    """
    missing = sorted({*learned} - {*tested})
    if not missing:
        return []
    what, they = ("class", "it is") if len(missing) == 1 else ("classes", "they are")
    return [
        f"No test row has the {what} {_listed(missing)}, of {len(learned)} that are learned: nothing is known of how "
        f"well {they} predicted."
    ]


def _listed(names: list[str]) -> str:
    """Names in a sentence, not all of many."""
    if len(names) > SHOWN:
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
    return enumerated(names)
