"""Scores of a candidate: each metric over all rows and over each slice, with its interval."""

from typing import Any

from tasks.evaluate.metrics.registry import METRICS
from tasks.evaluate.settings import Metric
from tasks.statistics import intervals

MAX_VALUES = 20
"""Values of a dimension, such as sources, that are told apart; with more, the dimension is left out."""

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
    scores = {}
    for metric in metrics:
        values = [columns[metric.column][row] for row in rows]
        kind = METRICS[metric.kind]
        if kind.asks == "loss":
            tokens = [columns[f"{metric.column}_tokens"][row] for row in rows]
            kept = [index for index, value in enumerate(values) if value is not None]
            if not kept:
                continue
            score = intervals.perplexity([values[index] for index in kept], [tokens[index] for index in kept])
        else:
            score = intervals.mean(values)
        scores[metric.column] = {**score, "better": "lower" if kind.lower_is_better else "higher"}
    return scores


def lengths(characters: list[int]) -> list[str]:
    """`short`, `middle` or `long` for each row: thirds by the characters of the question; ties stay together."""
    ordered = sorted(characters)
    third, two = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
    return ["short" if count <= third else "middle" if count <= two else "long" for count in characters]
