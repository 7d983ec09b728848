"""A difference in words: of scores as it is, of perplexities as their ratio with its interval turned round."""

from math import exp

import pytest

from tasks.statistics.effect import amount, effect, gained
from tasks.statistics.intervals import perplexity, weights
from tasks.statistics.paired import compare


def test_the_ratio_is_that_of_the_perplexities() -> None:
    tokens, base, tuned = [1, 3, 2], [2.0, 1.0, 1.5], [1.0, 1.0, 1.25]
    before, after = (perplexity(losses, tokens)["value"] for losses in (base, tuned))
    assert before == pytest.approx(exp(8 / 6), abs=1e-4)
    comparison = compare(*(-weights(tokens) * losses for losses in (tuned, base))) | {"better": "lower"}
    line = effect(comparison)
    assert float(line.value.removeprefix("times ")) == pytest.approx(after / before, abs=2e-4)
    assert float(line.low) < after / before < float(line.high)


def test_of_scores_it_is_the_difference() -> None:
    comparison = {"difference": -0.0125, "low": -0.03, "high": 0.005, "better": "higher"}
    assert effect(comparison) == ("-0.0125", "-0.03", "0.005")
    assert amount(0.05, comparison) == "0.05"
    benchmark = comparison | {"better": "lower", "task": "wikitext"}  # whose unit is its own
    assert effect(benchmark).value == "-0.0125"


def test_what_is_asked_for_is_said_alike() -> None:
    assert amount(0.0, {"better": "lower"}) == "times 1"
    assert amount(0.6931472, {"better": "lower"}) == "times 0.5"
    assert (gained(0.917, "higher"), gained(-0.6931472, "lower")) == ("+0.917", "times 2")
    assert gained(-9999.0, "lower").startswith("times 1.01")  # 1.014e304, as far as numbers go
