"""What naming the largest class for every row would score: the floor below which a classifier has learned nothing."""

from typing import Any


def always_largest(facts: dict[str, Any]) -> tuple[str, float, float]:
    """The largest class, and the accuracy and macro-F1 (0 to 1) of naming it for every row.

    `facts`: as `confusion` gives them. Of m of n rows in K classes, accuracy is m / n; F1 of that class is
    2 m / (m + n), and 0 of the others.

    >>> always_largest({"classes": {"a": {"support": 3}, "b": {"support": 1}}})
    ('a', 0.75, 0.42857142857142855)
    """
    sizes = {name: one["support"] for name, one in facts["classes"].items() if one["support"]}
    rows, largest = sum(sizes.values()), max(sizes, key=lambda name: (sizes[name], name))
    return largest, sizes[largest] / rows, 2 * sizes[largest] / (sizes[largest] + rows) / len(sizes)


def describe_largest(facts: dict[str, Any]) -> str:
    """The same as a sentence."""
    name, accuracy, macro_f1 = always_largest(facts)
    scores = f"{100 * accuracy:.1f} % in accuracy and {100 * macro_f1:.1f} % in macro-F1"
    return f"Naming the largest class, {name}, for every row reaches {scores}."
