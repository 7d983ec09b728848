"""Scores of classes on the page: what a mean hides, each class, and the confusion matrix."""

from typing import Any

from markupsafe import Markup

from tasks.charts.matrix import matrix
from tasks.report.gather import RunResults
from tasks.report.render import display_name
from tasks.statistics.confusion import describe_confusion

MOST = 100
"""Classes of a matrix that can be read; of more those are drawn that have most rows wrong."""


def sections(results: RunResults) -> list[dict[str, Any]]:
    """One for each metric of classes: its name, sentences, a line for each class, and the matrix, of the candidate that
    may be shipped beside the base."""
    candidate = results.decision["candidate"]
    metrics = results.scores[candidate].get("classes", {})
    return [
        _section(name, candidate, facts, results.scores["base"]["classes"][name]) for name, facts in metrics.items()
    ]


def _section(name: str, candidate: str, facts: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    classes = facts["classes"]
    lines = [
        {
            "name": label,
            **one,
            "base": base["classes"].get(label, {}).get("f1", 0.0),
            "instead": max(
                ((count, answer) for answer, count in one["answers"].items() if answer != label), default=None
            ),
        }
        for label, one in classes.items()
    ]
    lines.sort(key=lambda line: (not line["support"], line["f1"], line["name"]))
    drawn = _drawn(classes)
    return {
        "metric": name,
        "candidate": display_name(candidate),
        "facts": facts,
        "base_no_class": base["no_class"],
        "sentences": describe_confusion(facts),
        "lines": lines,
        "drawn": len(drawn),
        "picture": _picture(classes, drawn),
    }


def _drawn(classes: dict[str, Any]) -> list[str]:
    """The classes of the matrix, in the order of their names."""
    wrong = {label: one["support"] - one["answers"].get(label, 0) for label, one in classes.items()}
    most_wrong = sorted(classes, key=lambda label: (-wrong[label], label))[:MOST]
    return sorted(most_wrong, key=lambda label: (label.casefold(), label))


def _picture(classes: dict[str, Any], drawn: list[str]) -> Markup:
    numbers = {label: at for at, label in enumerate(drawn)}
    counts = {
        (numbers[label], numbers[answer]): count
        for label in drawn
        for answer, count in classes[label]["answers"].items()
        if answer in numbers
    }
    counts |= {(numbers[label], len(drawn)): count for label in drawn if (count := classes[label]["no_class"])}
    label = "Confusion matrix: true classes in rows, predicted classes in columns"
    return Markup(matrix(drawn, counts, "no class", label).inline())
