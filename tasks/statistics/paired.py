"""Two models on the same rows: the difference, how far chance may have moved it, and how many rows would tell more.

Shapes: `N` rows.

>>> result = compare([1, 1, 1, 0], [0, 1, 0, 0])
>>> result["difference"], result["wins"], result["test"]
(0.5, 2, 'exact McNemar')
"""

from math import ceil, sqrt
from typing import Any

import numpy as np

from tasks.statistics.intervals import CELLS, RESAMPLES, SEED, bootstrap
from tasks.statistics.power import POWER, at_most, detectable_by_mcnemar


def compare(
    first: Any, second: Any, level: float = 0.05, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Any]:
    """What `first` has over `second`, both (N,) scores of the same rows in the same order, more being better.

    difference with `low` and `high` (95 %), `p` of a paired test (two-sided), `wins`, `losses`, `ties`, the effect size
    `dz` (difference in standard deviations of the differences; None where they do not vary), and `detectable`: the
    difference that n rows show at `level` with a power of 80 %, None where they can show none. `spread`: standard
    deviation of the differences. `binary`: whether all are right or wrong. `differ`: rows whose scores differ, and
    `differ_at_most`: the share of all rows that then does at most (95 %, exact).
    """
    one, two = np.asarray(first, float), np.asarray(second, float)
    differences = one - two
    n, wins, losses = len(differences), int((differences > 0).sum()), int((differences < 0).sum())
    binary = bool(np.isin(np.concatenate([one, two]), (0.0, 1.0)).all())
    low, high = interval(differences, binary, resamples, seed)
    spread = float(differences.std(ddof=1)) if n > 1 else 0.0
    test = "exact McNemar" if binary else "sign flips"
    p = mcnemar(wins, losses) if binary else sign_flips(differences, resamples, seed)
    return {
        "n": n,
        "difference": round(float(differences.mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "p": float(f"{p:.4g}"),
        "test": test,
        "wins": wins,
        "losses": losses,
        "ties": n - wins - losses,
        "dz": round(float(differences.mean()) / spread, 4) if spread > 1e-12 else None,
        "spread": round(spread, 4),
        "binary": binary,
        **rows_that_differ(wins + losses, n),
        "detectable": _detectable(binary, wins + losses, n, spread, level),
    }


def rows_that_differ(differ: int, n: int) -> dict[str, float | int]:
    """How many of `n` rows differ, and what share of all rows then does at most."""
    return {"differ": differ, "differ_at_most": round(at_most(differ, n), 4)}


def interval(differences: Any, binary: bool, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """95 % interval of the mean difference by drawing rows with replacement.

    For right and wrong answers a row won and a row lost are added (Bonett and Price 2012, Psychological Methods
    17:370): where few rows differ, a bootstrap of those alone is too sure, and of none at all it is certain. Where none
    of these differs the exact bound of the share that does takes its place: the difference cannot be larger than it.
    """
    if binary and not np.any(differences):
        bound = at_most(0, len(differences))
        return -bound, bound
    values = np.concatenate([differences, [1.0, -1.0]]) if binary else np.asarray(differences, float)
    return bootstrap(values, resamples, seed)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided p of as uneven a split of the rows that differ, each side being as likely (exact binomial)."""
    from scipy.special import bdtr

    unlike = wins + losses
    return min(1.0, 2 * float(bdtr(min(wins, losses), unlike, 0.5))) if unlike else 1.0


def sign_flips(differences: Any, resamples: int = RESAMPLES, seed: int = SEED) -> float:
    """Two-sided p of as large a mean if each difference could as well have the other sign; at most its level."""
    values = np.asarray(differences, float)
    values = values[values != 0]
    if not len(values):
        return 1.0
    draw = np.random.default_rng(seed)
    seen, most = abs(values.sum()), 0
    rows = max(1, CELLS // len(values))
    for start in range(0, resamples, rows):
        signs = draw.integers(0, 2, (min(rows, resamples - start), len(values)), np.int8)
        sums = 2 * (signs @ values) - values.sum()
        most += int((np.abs(sums) >= seen * (1 - 1e-9)).sum())
    return (most + 1) / (resamples + 1)


def holm(ps: list[float]) -> list[float]:
    """p values of several tests, adjusted so that all hold together (Holm 1979)."""
    by_p = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(by_p):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = float(f"{highest:.4g}")
    return adjusted


def _detectable(binary: bool, differ: int, n: int, spread: float, level: float) -> float | None:
    """Graded scores that are all level tell nothing of how they vary: they are taken for right and wrong ones."""
    if not binary and spread > 0:
        return round(detectable(spread, n, level), 4)
    smallest = detectable_by_mcnemar(n, differ / n, level)
    return None if smallest is None else round(smallest, 4)


def detectable(spread: float, n: int, level: float = 0.05) -> float:
    """Difference that n rows show at `level` with a power of 80 %; `spread`: deviation of the differences."""
    return _reach(level) * spread / sqrt(n)


def rows_needed(spread: float, difference: float, level: float = 0.05) -> int:
    """Rows on which a true `difference` shows at `level` with a power of 80 %."""
    return max(2, ceil((_reach(level) * spread / difference) ** 2))


def _reach(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - level / 2) + ndtri(POWER))
