"""Intervals and paired tests, against published values and by simulation."""

import doctest
import random
from math import comb
from types import ModuleType

import numpy as np
import pytest

from tasks.statistics import intervals, p_value, paired, power
from tasks.statistics.intervals import proportion


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_interval_against_published_values(right: int, n: int, low: float, high: float) -> None:
    result = proportion(right, n)
    assert (result["low"], result["high"]) == (low, high)
    assert result["value"] == round(right / n, 4)


@pytest.mark.parametrize(("truth", "n"), [(0.9, 200), (0.5, 50), (0.97, 200)])
def test_interval_covers(truth: float, n: int) -> None:
    chance = random.Random(7)
    hits = 0
    for _ in range(2000):
        result = proportion(sum(chance.random() < truth for _ in range(n)), n)
        hits += result["low"] <= truth <= result["high"]
    assert 0.93 <= hits / 2000 <= 0.97


def trials(kind: str, gain: float, n: int, count: int = 2000) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of scores of two models on `n` rows; the first is better by `gain` on average."""
    draw = np.random.default_rng(11)
    pairs = []
    for _ in range(count):
        hard = draw.random(n)
        if kind == "binary":  # rows have a difficulty that both models share
            second = (draw.random(n) < 0.2 + 0.5 * hard).astype(float)
            first = (draw.random(n) < 0.2 + 0.5 * hard + gain).astype(float)
        else:
            second = np.clip(hard + draw.normal(0, 0.1, n), 0, 1)
            first = second + gain + draw.exponential(0.1, n) - 0.1
        pairs.append((first, second))
    return pairs


@pytest.mark.parametrize(("kind", "gain", "n"), [("binary", 0.2, 40), ("binary", 0.1, 240), ("graded", 0.05, 60)])
def test_interval_of_a_difference_covers(kind: str, gain: float, n: int) -> None:
    hits = 0
    for first, second in trials(kind, gain, n):
        low, high = paired.interval(first - second, kind == "binary", resamples=400)
        hits += low <= gain <= high
    assert 0.93 <= hits / 2000 <= 0.97


def test_interval_of_a_mean_covers() -> None:
    draw, hits = np.random.default_rng(5), 0
    for _ in range(2000):
        low, high = intervals.bootstrap(draw.beta(2, 3, 80), resamples=400)
        hits += low <= 0.4 <= high
    assert 0.93 <= hits / 2000 <= 0.97


@pytest.mark.parametrize(("kind", "n"), [("binary", 40), ("binary", 240), ("graded", 60)])
def test_a_paired_test_is_wrong_no_more_often_than_its_level(kind: str, n: int) -> None:
    """Both models are as good: graded scores differ by noise whose sign is a coin's."""
    draw, wrong = np.random.default_rng(3), 0
    for first, second in trials(kind, 0.0, n):
        if kind == "graded":
            first = second + draw.normal(0, 0.1, n)
            p = paired.sign_flips(first - second, resamples=400)
        else:
            p = paired.mcnemar(int((first > second).sum()), int((first < second).sum()))
        wrong += p <= 0.05
    assert wrong / 2000 <= 0.05 + 2 * (0.05 * 0.95 / 2000) ** 0.5, "chance of the simulation itself aside"


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (5, 5), (9, 1), (1, 9), (121, 59), (30, 0)])
def test_mcnemar_is_the_exact_binomial(wins: int, losses: int) -> None:
    n, k = wins + losses, min(wins, losses)
    assert paired.mcnemar(wins, losses) == pytest.approx(min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n))


def test_sign_flips_are_those_of_all_signs() -> None:
    """Six differences have 64 signs, of which 2 are as extreme as all positive."""
    assert paired.sign_flips(np.array([1.0, 2, 3, 4, 5, 6]) / 10) == pytest.approx(2 / 64, abs=0.006)
    assert paired.sign_flips(np.zeros(9)) == 1.0


def test_holm_as_published() -> None:
    """The example of Holm's procedure as R's p.adjust computes it."""
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == [0.03, 0.06, 0.06, 0.02]
    assert paired.holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("n", "discordance", "difference"), [(100, 0.0, 0.0), (100, 0.02, 0.02), (60, 0.05, 0.0), (240, 0.02, 0.01)]
)
def test_where_hardly_a_row_differs_the_interval_still_covers(n: int, discordance: float, difference: float) -> None:
    draw = np.random.default_rng(13)
    wins, losses = (discordance + difference) / 2, (discordance - difference) / 2
    counts = draw.multinomial(n, [wins, losses, 1 - wins - losses], 2000)
    unlike, times = np.unique(counts, axis=0, return_counts=True)
    hits = 0
    for (won, lost, level), count in zip(unlike, times, strict=True):
        low, high = paired.interval(np.repeat([1.0, -1.0, 0.0], [won, lost, level]), True, resamples=1000)
        hits += count * (low <= difference <= high)
    assert hits / 2000 >= 0.93


def test_rows_that_do_not_differ_bound_the_share_that_does() -> None:
    """The rule of three, and published exact bounds (Clopper and Pearson, as R's binom.test gives them)."""
    assert power.at_most(0, 1000) == pytest.approx(3 / 1000, rel=0.01)
    assert power.at_most(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert power.at_most(3, 50) == pytest.approx(0.1478, abs=5e-5)
    assert power.at_most(10, 10) == 1.0
    draw = np.random.default_rng(17)
    differ = draw.binomial(80, 0.04, 2000)
    covered = [power.at_most(int(count), 80) >= 0.04 for count in differ]
    assert np.mean(covered) >= 0.95 - 2 * (0.05 * 0.95 / 2000) ** 0.5


@pytest.mark.parametrize(
    ("difference", "discordance"), [(0.05, 0.05), (0.05, 0.26), (0.1, 0.3), (0.3, 0.4), (1.0, 1.0), (0.02, 0.05)]
)
def test_rows_for_mcnemar_find_the_difference_as_often_as_promised(difference: float, discordance: float) -> None:
    n = power.rows_for_mcnemar(difference, discordance)
    draw = np.random.default_rng(19)
    differ = draw.binomial(n, discordance, 2000)
    wins = draw.binomial(differ, (1 + difference / discordance) / 2)
    pairs, times = np.unique(np.stack([wins, differ - wins]), axis=1, return_counts=True)
    significant = sum(
        count for (won, lost), count in zip(pairs.T, times, strict=True) if paired.mcnemar(int(won), int(lost)) < 0.05
    )
    assert significant / 2000 >= 0.8 - 2 * (0.8 * 0.2 / 2000) ** 0.5
    assert significant / 2000 <= 0.84 or n < 50, "no more rows than needed; few have steps"
    assert power.mcnemar_power(n, discordance, difference) >= 0.8 > power.mcnemar_power(n - 1, discordance, difference)


def test_what_rows_show_is_what_they_find() -> None:
    assert power.detectable_by_mcnemar(5, 0.0) is None, "five rows to none: p = 0.0625"
    assert power.detectable_by_mcnemar(6, 0.0) == pytest.approx(0.8 ** (1 / 6), abs=1e-4), "all six must differ"
    smallest = power.detectable_by_mcnemar(240, 0.3)
    assert smallest is not None
    assert power.mcnemar_power(240, 0.3, smallest) == pytest.approx(0.8, abs=0.001)
    assert paired.compare([1] * 10, [1] * 10)["detectable"] == pytest.approx(0.6732, abs=5e-4)
    assert paired.compare([0.5] * 10, [0.5] * 10)["detectable"] == pytest.approx(0.6732, abs=5e-4)


def test_rows_needed_find_the_difference_as_often_as_promised() -> None:
    draw = np.random.default_rng(9)
    n = paired.rows_needed(spread=0.5, difference=0.1)
    assert n == 197
    significant = 0
    for _ in range(1000):
        values = draw.normal(0.1, 0.5, n)
        significant += abs(values.mean() / values.std(ddof=1) * n**0.5) > intervals.Z
    assert 0.76 <= significant / 1000 <= 0.84
    assert paired.detectable(0.5, n) == pytest.approx(0.1, abs=0.001)


def test_a_comparison_says_what_differs() -> None:
    result = paired.compare([1, 1, 1, 1, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0, 0])
    assert (result["wins"], result["losses"], result["ties"], result["n"]) == (6, 1, 1, 8)
    assert (result["difference"], result["p"], result["test"]) == (0.625, 0.125, "exact McNemar")
    assert result["low"] < 0.625 < result["high"] <= 1
    same = paired.compare([1, 0, 1], [1, 0, 1])
    assert (same["p"], same["dz"], same["difference"]) == (1.0, None, 0.0)
    assert same["low"] < 0 < same["high"], "three rows alike prove nothing"


def test_perplexity_weighs_tokens() -> None:
    result = intervals.perplexity([1.0, 3.0], [3, 1])
    assert result["value"] == pytest.approx(np.exp(1.5), abs=1e-4)
    assert result["low"] <= result["value"] <= result["high"]


@pytest.mark.parametrize("module", [intervals, p_value, paired], ids=lambda module: module.__name__.split(".")[-1])
def test_the_examples_in_the_docstrings_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
