"""95 % intervals of a mean: Wilson's for shares of right answers, a bootstrap of the rows for everything else.

Shapes: `N` rows, `R` resamples.

>>> mean([1, 1, 0, 1])["value"]
0.75
"""

from math import exp, sqrt
from typing import Any

import numpy as np

Z = 1.959963984540054
"""97.5 % quantile of the normal distribution: intervals cover 95 %."""

RESAMPLES = 10_000
SEED = 20_240_607
"""Of every draw: the same rows give the same interval."""

CELLS = 2**22
"""Numbers drawn at once: 32 MiB."""


def proportion(right: int, n: int) -> dict[str, float | int]:
    """Share of right answers with its 95 % score interval (Wilson 1927), to 4 decimals.

    Unlike the interval of the textbook it covers what it should near 0 and 1 and for few rows.
    """
    low, high = wilson(right / n, n)
    low = 0.0 if right == 0 else low  # exact there, where rounding would leave 1e-17
    high = 1.0 if right == n else high
    return {"value": round(right / n, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


def wilson(share: float, n: float) -> tuple[float, float]:
    """The score interval of a share of `n` rows, which need not be a whole number."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return middle - half, middle + half


def mean(values: Any) -> dict[str, float | int]:
    """The mean of `values` (N,) with its interval: Wilson's where all are 0 or 1, else that of a bootstrap."""
    scores = np.asarray(values, float)
    if np.isin(scores, (0.0, 1.0)).all():
        return proportion(int(scores.sum()), len(scores))
    low, high = bootstrap(scores)
    return {"value": round(float(scores.mean()), 4), "low": round(low, 4), "high": round(high, 4), "n": len(scores)}


def perplexity(losses: Any, tokens: Any) -> dict[str, float | int]:
    """exp of the mean loss a token; `losses`: nats a token of each row, `tokens`: its tokens. Rows are resampled."""
    weighed = np.asarray(losses, float) * weights(tokens)
    low, high = bootstrap(weighed)
    value, low, high = (round(exp(min(bound, 700.0)), 4) for bound in (float(weighed.mean()), low, high))
    return {"value": value, "low": low, "high": high, "n": len(weighed)}


def weights(tokens: Any) -> Any:
    """Share of each row in a mean over tokens, times the number of rows."""
    counts = np.asarray(tokens, float)
    return counts / counts.mean()


def bootstrap(values: Any, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """95 % interval of the mean by drawing rows with replacement.

    The percentiles are widened to those of Student's t, as plain ones are too narrow for few rows ("expanded
    percentile", Hesterberg 2015, The American Statistician 69:371).
    """
    from scipy.special import ndtr, stdtrit

    n = len(values)
    if n < 2:
        return float(values[0]), float(values[0])
    tail = float(ndtr(-sqrt(n / (n - 1)) * stdtrit(n - 1, 0.975)))
    low, high = np.quantile(means(np.asarray(values, float), resamples, seed), [tail, 1 - tail])
    return float(low), float(high)


def means(values: Any, resamples: int, seed: int) -> Any:
    """Means (R,) of `resamples` draws of N rows with replacement; by counts where few values differ, which is quick."""
    draw = np.random.default_rng(seed)
    n = len(values)
    unlike, counts = np.unique(values, return_counts=True)
    if len(unlike) <= 16:
        return draw.multinomial(n, counts / n, resamples) @ unlike / n
    rows = max(1, CELLS // n)
    parts = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    return np.concatenate([values[draw.integers(0, n, (part, n))].mean(1) for part in parts])
