"""Scores of answers: exact match, and how far chance may have moved it."""

from math import sqrt
from typing import Any

Z = 1.959963984540054
"""97.5 % quantile of the normal distribution: intervals cover 95 %."""


def normalised(text: str) -> str:
    """Text with every run of white space as one space, and none at the ends."""
    return " ".join(text.split())


def exact_match(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1 where answer and reference are the same but for white space; called by lm-eval for each row."""
    return {"exact_match": float(normalised(results[0]) == normalised(doc["reference"]))}


def proportion(right: int, n: int) -> dict[str, float | int]:
    """Share of right answers with its 95 % score interval (Wilson 1927), to 4 decimals.

    Unlike the interval of the textbook it covers what it should near 0 and 1 and for few rows.
    """
    share = right / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low = 0.0 if right == 0 else middle - half  # exact there, where rounding would leave 1e-17
    high = 1.0 if right == n else middle + half
    return {"value": round(share, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


def scores(results: list[tuple[str | None, bool]]) -> dict[str, Any]:
    """Exact match over all rows and over each slice; `results`: slice and whether the answer is right."""
    slices: dict[str, list[bool]] = {}
    for name, right in results:
        if name is not None:
            slices.setdefault(name, []).append(right)
    return {
        "exact_match": proportion(sum(right for _, right in results), len(results)),
        "slices": {name: {"exact_match": proportion(sum(hits), len(hits))} for name, hits in sorted(slices.items())},
    }
