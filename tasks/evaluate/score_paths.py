"""The numbers of data/report/comparison.json by their dotted paths, as the settings of a run say what they will be."""

from collections.abc import Collection
from typing import Any

from tasks.evaluate.settings import KNOWN
from tasks.named.choices import hint

PARTS = ("value", "low", "high", "n")
"""Of a score: itself, its 95 % interval, and the rows that it is of."""


def fault(path: str, evaluate: Any, schemes: Collection[str]) -> str:
    """Why no run of these settings comes to a number at `path`, in a sentence; "" where one may.

    `evaluate` is that section of params.yaml, `schemes` those of quantize. Slices are what the data say, so their names
    are not known; what is asked of them is.
    """
    candidates = [*KNOWN, *schemes, *evaluate.models, *evaluate.hosted]
    metrics = [name for metric in evaluate.metrics for name in metric.scores]
    ends = [f"{metric}.{part}" for metric in metrics for part in PARTS]
    for candidate in candidates:
        scores = path.removeprefix(f"candidates.{candidate}.")
        sliced = scores.startswith("slices.") and scores.count(".") > 2
        if scores != path and any(scores == end or (sliced and scores.endswith(f".{end}")) for end in ends):
            return ""
    known = [f"candidates.{name}.{metric}.value" for name in candidates for metric in metrics]
    return f"no run has a number {path}; {hint(path, known, 'known numbers are')}"
