"""What right and wrong answers on `n` rows can show, by the rows in which two models differ (exact).

Most rows say nothing of a difference: both models are right, or both wrong. What counts are the rows that one of them
has right alone; their share of all is the discordance. A difference cannot be larger than it.

>>> round(at_most(0, 100), 4)  # about 3 / n, the rule of three
0.0295
"""

from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np

POWER = 0.8
"""Probability with which a true difference of the named size would be found."""

STEPS = 20
"""Halvings of the range in which a difference is looked for: to 1e-6."""

EXACT_ROWS = 20_000
"""Rows up to which the exact test is worked out; beyond it differs from its approximation by less than 1 in 1000."""


def at_most(differ: int, n: int, confidence: float = 0.95) -> float:
    """The largest discordance under which `differ` of `n` rows, or fewer, are not a surprise.

    The one-sided exact bound (Clopper and Pearson 1934, Biometrika 26:404).
    """
    from scipy.special import betaincinv

    return 1.0 if differ >= n else float(betaincinv(differ + 1, n - differ, confidence))


def mcnemar_power(n: int, discordance: float, difference: float, level: float = 0.05) -> float:
    """How often the exact McNemar's test finds `difference`, at most `discordance`, on `n` rows (p below `level`)."""
    from scipy.special import bdtr, bdtrc, gammaln

    spread = (n * discordance * (1 - discordance)) ** 0.5
    low, high = max(0, int(n * discordance - 8 * spread) - 8), min(n, int(n * discordance + 8 * spread) + 8)
    differ = np.arange(low, high + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = (
            gammaln(n + 1)
            - gammaln(differ + 1)
            - gammaln(n - differ + 1)
            + np.where(differ > 0, differ * np.log(discordance), 0.0)
            + np.where(differ < n, (n - differ) * np.log1p(-discordance), 0.0)
        )
    extreme = _extreme(differ, level)
    share = min(1.0, (1 + difference / discordance) / 2)  # of the rows that differ, those that the better model wins
    tails = bdtr(np.maximum(extreme, 0), differ, share) + bdtrc(differ - np.maximum(extreme, 0) - 1, differ, share)
    return float((np.exp(logs) * np.where(extreme < 0, 0.0, tails)).sum())


@lru_cache(4096)
def detectable_by_mcnemar(n: int, discordance: float, level: float = 0.05) -> float | None:
    """The smallest difference that `n` rows show at `level` with a power of 80 %; None where they can show none.

    `discordance`: of the rows; taken for larger where the difference is.
    """
    if mcnemar_power(n, 1.0, 1.0, level) < POWER:
        return None
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if mcnemar_power(n, max(discordance, middle), middle, level) < POWER:
            low = middle
        else:
            high = middle
    return high


@lru_cache(4096)
def rows_for_mcnemar(difference: float, discordance: float, level: float = 0.05) -> int:
    """Rows that show a true `difference` at `level` with a power of 80 %, if that share `discordance` of them differs.

    Many rows are counted by the normal approximation (Connor 1987, Biometrics 43:207).
    """
    from scipy.special import ndtri

    difference = min(1.0, difference)
    discordance = min(1.0, max(discordance, difference))
    reach = ndtri(1 - level / 2) * discordance**0.5 + ndtri(POWER) * (discordance - difference**2) ** 0.5
    rows = ceil((float(reach) / difference) ** 2)
    if rows > EXACT_ROWS:
        return rows
    low, high = 0, max(2, rows)
    while mcnemar_power(high, discordance, difference, level) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if mcnemar_power(middle, discordance, difference, level) < POWER:
            low = middle
        else:
            high = middle
    return high


def _extreme(differ: Any, level: float) -> Any:
    """Of so many rows that differ, how few one model may win for a two-sided p below `level`; -1 for never."""
    from scipy.special import bdtr, bdtrik

    fewest = np.floor(np.nan_to_num(bdtrik(level / 2, np.maximum(differ, 1), 0.5)))
    fewest = np.maximum(fewest, 0)
    for _ in range(2):  # rounding, and a p that is the level itself
        fewest = np.where((fewest >= 0) & (2 * bdtr(np.maximum(fewest, 0), differ, 0.5) >= level), fewest - 1, fewest)
    return np.where(differ > 0, fewest, -1)
