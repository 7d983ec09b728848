"""Scores of a candidate: each metric over all rows and over each slice, with its interval."""

from typing import Any

from tasks.evaluate.metrics.registry import METRICS
from tasks.evaluate.settings import Metric
from tasks.statistics import intervals

MOST = 20
"""Values of a dimension, such as sources, that are told apart; with more, the dimension is left out."""

DIMENSIONS = ("slice", "source", "length")


def scores(metrics: list[Metric], columns: dict[str, list[Any]]) -> dict[str, Any]:
    """`metrics` by name, and `slices` by dimension, value and name; `columns` as in predictions.parquet."""
    every = list(range(len(columns["id"])))
    slices: dict[str, dict[str, Any]] = {}
    for dimension in DIMENSIONS:
        values = sorted({value for value in columns[dimension] if value is not None})
        if (dimension == "slice" or len(values) > 1) and len(values) <= MOST:
            slices[dimension] = {
                value: told(metrics, columns, [row for row in every if columns[dimension][row] == value])
                for value in values
            }
    return {"metrics": told(metrics, columns, every), "slices": {name: part for name, part in slices.items() if part}}


def told(metrics: list[Metric], columns: dict[str, list[Any]], rows: list[int]) -> dict[str, Any]:
    """Each metric over `rows` by name: value, low, high, n, and which way is better."""
    found = {}
    for metric in metrics:
        values = [columns[metric.column][row] for row in rows]
        kind = METRICS[metric.kind]
        if kind.asks == "loss":
            tokens = [columns[f"{metric.column}_tokens"][row] for row in rows]
            kept = [place for place, value in enumerate(values) if value is not None]
            if not kept:
                continue
            score = intervals.perplexity([values[place] for place in kept], [tokens[place] for place in kept])
        else:
            score = intervals.mean(values)
        found[metric.column] = {**score, "better": "lower" if kind.lower_is_better else "higher"}
    return found


def lengths(characters: list[int]) -> list[str]:
    """`short`, `middle` or `long` for each row: thirds by the characters of the question; ties stay together."""
    ordered = sorted(characters)
    third, two = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
    return ["short" if count <= third else "middle" if count <= two else "long" for count in characters]
