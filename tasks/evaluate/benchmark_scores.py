"""What lm-eval's metrics make of the scores of single questions, each with an interval; the values are lm-eval's own.

A metric is a mean over questions (acc); or of logarithms (perplexity: exp of the mean loss of a question) or of texts
that count by their words or bytes (word_perplexity, byte_perplexity, bits_per_byte); or of all questions together
(brier_score, f1, mcc, bleu and others), of which no question has a part that could be compared.
"""

import warnings
from collections.abc import Callable, Sequence
from math import log
from typing import Any

import numpy as np

from tasks.core.errors import InputError
from tasks.statistics import intervals

DRAWS = 200
"""Resamples for a metric of all questions together, which is computed anew for each."""

Scores = dict[str, Any]


def measured(rows: list[dict[str, Any]], aggregations: dict[str, Any], higher_is_better: dict[str, bool]) -> Scores:
    """Each metric's value with its interval, by name; a row's `scores` are replaced by its part of each mean.

    `rows`: one a question, with `scores` by name; `aggregations`: lm-eval's functions by metric. A metric with `ratio`
    is exp of a mean, so that differences of it are told as ratios.
    """
    metrics: Scores = {}
    names = sorted({name for row in rows for name in row["scores"]})
    parts: list[dict[str, float]] = [{} for _ in rows]
    for name in names:
        metric = name.split(",")[0]
        having = [place for place, row in enumerate(rows) if name in row["scores"]]
        values = [rows[place]["scores"][name] for place in having]
        facts, part = _measure(values, aggregations.get(metric))
        if facts is None:
            continue
        metrics[name] = {**facts, "better": "lower" if higher_is_better.get(metric) is False else "higher"}
        for place, value in zip(having, part, strict=False):
            parts[place][name] = value
    for row, part_of_row in zip(rows, parts, strict=True):
        row["scores"] = part_of_row
    return metrics


def check(task: str, metrics: Scores) -> None:
    """Raise `InputError` where nothing of a task could be read."""
    if not metrics:
        raise InputError(
            f"evaluate.benchmarks: the task {task} gives no score that is a number; name a metric in its metric_list, "
            "or remove the task."
        )


def _measure(values: Sequence[Any], aggregate: Callable[..., Any] | None) -> tuple[Scores | None, list[float]]:
    """Value and interval, and the part of each question, [] where no question has one."""
    kind = getattr(aggregate, "__name__", "mean")
    if all(isinstance(value, int | float) for value in values):
        if kind == "mean":
            return intervals.mean(values), [float(value) for value in values]
        if kind == "perplexity":
            return _perplexity([-float(value) for value in values])
    elif kind in ("weighted_perplexity", "bits_per_byte"):
        counts = np.array([float(count) for _, count in values])
        losses = [-float(likelihood) / float(counts.mean()) for likelihood, _ in values]  # their mean: nats a unit
        if kind == "weighted_perplexity":
            return _perplexity(losses)
        bits = [loss / log(2) for loss in losses]
        return intervals.mean(bits), bits
    return (None, []) if aggregate is None else (_together(values, aggregate), [])


def _perplexity(losses: list[float]) -> tuple[Scores, list[float]]:
    return {**intervals.perplexity(losses, [1] * len(losses)), "ratio": True}, losses


def _together(values: Sequence[Any], aggregate: Callable[..., Any]) -> Scores | None:
    """A metric of all questions, and its interval by drawing questions; None where it is no number."""
    try:
        value = float(aggregate(list(values)))
        drawn = np.random.default_rng(intervals.SEED).integers(0, len(values), (DRAWS, len(values)))
        with warnings.catch_warnings(action="ignore"):  # of draws in which a class is missing
            others = [float(aggregate([values[place] for place in draw])) for draw in drawn]
    except (TypeError, ValueError, ArithmeticError):
        return None
    low, high = np.nanquantile(others, [0.025, 0.975])
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4), "n": len(values)}
