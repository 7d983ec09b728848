"""Scores of one answer against its reference, from 0 (wrong) to 1 (right), by the kind of the metric."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tasks.evaluate.metrics import structure, text
from tasks.evaluate.settings import Metric

Score = Callable[[str, str, dict[str, Any]], float]
"""From output, reference and row to a score."""

LIKELIHOOD = {"multiple_choice", "perplexity"}
"""Kinds that ask the model about given texts, not for an answer."""

TEXT: dict[str, Callable[[str, str], float]] = {
    "exact_match": text.exact,
    "normalised_match": text.normalised,
    "contains": text.contains,
    "f1": text.f1,
    "rouge1": partial(text.rouge, "rouge1"),
    "rouge2": partial(text.rouge, "rouge2"),
    "rougeL": partial(text.rouge, "rougeL"),
    "bleu": text.bleu,
    "chrf": text.chrf,
    "json_valid": structure.valid,
    "json_equal": structure.equal,
}


def scorer(metric: Metric, scoring: Path) -> Score:
    """The function that scores answers by `metric`; files it names are in the folder `scoring`.

    Raises `SettingsError` or `InputError` for a schema or function that cannot be used.
    """
    if metric.kind in TEXT:
        compare = TEXT[metric.kind]
        return lambda output, reference, row: compare(output, reference)
    if metric.kind == "regex":
        find = text.pattern(str(metric.pattern))
        return lambda output, reference, row: find(output, reference)
    if metric.kind == "json_schema":
        fits = structure.schema(scoring / str(metric.schema_file))
        return lambda output, reference, row: fits(output)
    if metric.kind == "code":
        from tasks.evaluate.metrics.code import passes

        return partial(passes, timeout=metric.timeout, memory=metric.memory)
    from tasks.evaluate.metrics.custom import function

    return function(str(metric.function), scoring)


def lower_is_better(kind: str) -> bool:
    """Whether less is better: so it is for perplexity alone."""
    return kind == "perplexity"
