"""A difference between two models in words: of scores as it is, of perplexities as their ratio.

>>> effect({"difference": 0.25, "low": 0.2, "high": 0.3, "better": "higher"})
Effect(value='+0.25', low='0.2', high='0.3')
>>> effect({"difference": 0.6931, "low": 0.5, "high": 0.9, "better": "lower"})
Effect(value='times 0.5', low='0.4066', high='0.6065')
"""

from collections.abc import Mapping
from math import exp
from typing import Any, NamedTuple

from tasks.core.numbers import shown, signed

MOST = 700.0
"""The largest number of which Python knows the exponential, about."""


class Effect(NamedTuple):
    """A difference, or a ratio, with its 95 % interval, for a person."""

    value: str
    low: str
    high: str


def is_ratio(comparison: Mapping[str, Any]) -> bool:
    """Whether two perplexities are compared, whose differences are nats: of all metrics of rows theirs alone is better
    where it is lower; those of benchmarks say it."""
    return bool(comparison.get("ratio", comparison.get("better") == "lower" and "task" not in comparison))


def effect(comparison: Mapping[str, Any]) -> Effect:
    """What `comparison` (difference, low, high and better, as `decide` has them) says, for a person."""
    value, low, high = (comparison[key] for key in ("difference", "low", "high"))
    if is_ratio(comparison):
        return Effect(gained(value, "lower"), ratio(high), ratio(low))
    return Effect(signed(value), shown(low), shown(high))


def gained(gain: float, better: str) -> str:
    """A gain alone: a difference of scores, or what a perplexity, of which less is better, is multiplied by."""
    return f"times {ratio(gain)}" if better == "lower" else signed(gain)


def ratio(nats: float) -> str:
    """A gain in nats a token as what it makes of a perplexity of 1."""
    return shown(exp(max(min(-nats, MOST), -MOST)))


def amount(size: float, comparison: Mapping[str, Any]) -> str:
    """A gain of `size` without a sign, such as one that is asked for, in what `effect` says the difference in."""
    return f"times {ratio(size)}" if is_ratio(comparison) else shown(size)
