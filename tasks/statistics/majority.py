"""What the same answer to every row would score: the floor below which a classifier has learned nothing."""

from typing import Any

from tasks.rows.label_lists import as_answer
from tasks.statistics.label_table import has_lists


def always_largest(facts: dict[str, Any]) -> tuple[str, float, float]:
    """The largest class, and the accuracy and macro F1 (0 to 1) of naming it for every row.

    `facts`: as `confusion` gives them. Of m of n rows in K classes, accuracy is m / n; F1 of that class is
    2 m / (m + n), and 0 of the others.

    >>> always_largest({"classes": {"a": {"support": 3}, "b": {"support": 1}}})
    ('a', 0.75, 0.42857142857142855)
    """
    sizes = {name: one["support"] for name, one in facts["classes"].items() if one["support"]}
    rows, largest = sum(sizes.values()), max(sizes, key=lambda name: (sizes[name], name))
    return largest, sizes[largest] / rows, 2 * sizes[largest] / (sizes[largest] + rows) / len(sizes)


def always_all(facts: dict[str, Any]) -> tuple[float, float, float]:
    """Macro F1 and micro F1 of naming every class for every row, and the accuracy of always naming the commonest list
    of classes (0 to 1).

    `facts`: as `label_table` gives them. F1 of a class with m of n rows is 2 m / (m + n).

    >>> facts = {"n": 4, "named": 4, "frequent": {"rows": 2}, "classes": {"a": {"support": 3}, "b": {"support": 1}}}
    >>> [round(value, 4) for value in always_all(facts)]
    [0.6286, 0.6667, 0.5]
    """
    n, sizes = facts["n"], [one["support"] for one in facts["classes"].values() if one["support"]]
    macro = sum(2 * size / (size + n) for size in sizes) / max(1, len(sizes))
    return macro, 2 * facts["named"] / (facts["named"] + n * len(sizes)), facts["frequent"]["rows"] / n


def describe_floor(facts: dict[str, Any]) -> str:
    """The same as a sentence."""
    if has_lists(facts):
        macro, micro, exact = always_all(facts)
        return (
            f"Naming every class for every row reaches {100 * macro:.1f} % in macro F1 and {100 * micro:.1f} % in "
            f"micro F1; always naming {as_answer(facts['frequent']['classes'])} reaches {100 * exact:.1f} % in subset "
            "accuracy."
        )
    name, accuracy, macro_f1 = always_largest(facts)
    scores = f"{100 * accuracy:.1f} % in accuracy and {100 * macro_f1:.1f} % in macro F1"
    return f"Naming the largest class, {name}, for every row reaches {scores}."
