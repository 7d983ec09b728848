"""Scores of classes on the page: what a mean hides, each class, and the confusion matrix."""

from typing import Any

from markupsafe import Markup

from tasks.charts.matrix import matrix
from tasks.report.gather import RunResults
from tasks.report.render import class_sentences, display_name
from tasks.statistics.label_table import has_lists

MOST = 100
"""Classes of a matrix that can be read; of more those are drawn that have most rows wrong."""


def sections(results: RunResults) -> list[dict[str, Any]]:
    """One for each metric of classes: its name, sentences, a line for each class, and the matrix, of the candidate that
    may be shipped beside the base."""
    candidate = results.decision["candidate"]
    metrics = results.scores[candidate].get("classes", {})
    return [
        {
            **_section(name, display_name(results, candidate), facts, results.scores["base"]["classes"][name]),
            "sentences": class_sentences(results, facts),
        }
        for name, facts in metrics.items()
    ]


def _section(name: str, candidate: str, facts: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    classes = facts["classes"]
    lines = [
        {"name": label, **one, "base": base["classes"].get(label, {}).get("f1", 0.0)} for label, one in classes.items()
    ]
    lines.sort(key=lambda line: (not line["support"], line["f1"], line["name"]))
    section = {
        "metric": name,
        "candidate": candidate,
        "facts": facts,
        "base_no_class": base["no_class"],
        "lines": lines,
        "lists": has_lists(facts),
    }
    return section if has_lists(facts) else section | _confused(classes, lines)


def _confused(classes: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The matrix, and to each line the class that is answered most often in the place of its own."""
    for line in lines:
        others = ((count, answer) for answer, count in line["answers"].items() if answer != line["name"])
        line["instead"] = max(others, default=None)
    drawn = _drawn(classes)
    return {"drawn": len(drawn), "picture": _picture(classes, drawn)}


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
