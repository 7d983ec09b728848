"""Scores of a candidate: each metric over all rows and over each slice, with its interval."""

from typing import Any

from tasks.evaluate.metrics.registry import METRICS
from tasks.evaluate.settings import Metric
from tasks.rows.columns import class_columns
from tasks.rows.label_lists import as_sets
from tasks.statistics import intervals
from tasks.statistics.f1 import Average, f1, numbered, numbered_sets

MAX_VALUES = 20
"""Values of a dimension, such as sources, that are told apart; with more, the dimension is left out."""

NAMED = 20
"""Rows that are named where some are left out."""

DIMENSIONS = ("slice", "source", "length")


def scores(metrics: list[Metric], columns: dict[str, list[Any]]) -> dict[str, Any]:
    """`metrics` by name, and `slices` by dimension, value and name; `columns` as in predictions.parquet."""
    all_rows = list(range(len(columns["id"])))
    slices: dict[str, dict[str, Any]] = {}
    for dimension in DIMENSIONS:
        values = sorted({value for value in columns[dimension] if value is not None})
        if (dimension == "slice" or len(values) > 1) and len(values) <= MAX_VALUES:
            slices[dimension] = {
                value: metric_scores(metrics, columns, [row for row in all_rows if columns[dimension][row] == value])
                for value in values
            }
    return {
        "metrics": metric_scores(metrics, columns, all_rows),
        "slices": {name: part for name, part in slices.items() if part},
    }


def metric_scores(metrics: list[Metric], columns: dict[str, list[Any]], rows: list[int]) -> dict[str, Any]:
    """Each metric over `rows` by name: value, low, high, n, and which way is better."""
    scores: dict[str, Any] = {}
    for metric in metrics:
        if metric.classes:
            scores |= _class_scores(metric, columns, rows)
            continue
        if metric.asks == "rank":
            for name in metric.scores:
                scores[name] = {**intervals.mean([columns[name][row] for row in rows]), "better": "higher"}
            continue
        values = [columns[metric.column][row] for row in rows]
        if metric.asks == "loss":
            tokens = [columns[f"{metric.column}_tokens"][row] for row in rows]
            kept = [index for index, value in enumerate(values) if value is not None]
            if not kept:
                continue
            score = intervals.perplexity([values[index] for index in kept], [tokens[index] for index in kept])
        else:
            score = intervals.mean(values)
        scores[metric.column] = {**score, "better": "lower" if METRICS[metric.kind].lower_is_better else "higher"}
    return scores


def _class_scores(metric: Metric, columns: dict[str, list[Any]], rows: list[int]) -> dict[str, Any]:
    """F1 and accuracy; `classes` is the metric whose columns have the classes of the rows, `average` says which F1 it
    is where they have any number."""
    truth, answers = ([columns[name][row] for row in rows] for name in class_columns(metric.column))
    *of_f1, accuracy = metric.scores
    scores: dict[str, Any] = {}
    if metric.several:
        averages: tuple[Average, ...] = ("macro", "micro")
        numbers = numbered_sets(*map(as_sets, (truth, answers)))
        for name, average in zip(of_f1, averages, strict=True):
            scores[name] = {
                **f1(*numbers, average=average),
                "better": "higher",
                "classes": metric.column,
                "average": average,
            }
    else:
        scores[of_f1[0]] = {**f1(*numbered(truth, answers)), "better": "higher", "classes": metric.column}
    scores[accuracy] = {**intervals.mean([columns[accuracy][row] for row in rows]), "better": "higher"}
    return scores


def left_out(metrics: list[Metric], columns: dict[str, list[Any]]) -> dict[str, Any]:
    """By metric, how many rows its score leaves out and the first ids of them; those that leave none out are absent."""
    ids = {
        metric.column: [
            name for name, value in zip(columns["id"], columns[metric.column], strict=True) if value is None
        ]
        for metric in metrics
        if metric.asks == "loss"
    }
    return {name: {"rows": len(rows), "ids": rows[:NAMED]} for name, rows in ids.items() if rows}


def lengths(characters: list[int]) -> list[str]:
    """`short`, `middle` or `long` for each row: thirds by the characters of the question; ties stay together."""
    ordered = sorted(characters)
    third, two = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
    return ["short" if count <= third else "middle" if count <= two else "long" for count in characters]
