"""Metrics of lm-eval: their values are those of its own functions, with intervals, and lower is better where it is."""

import math
from typing import Any

import pytest

from tasks.core.errors import InputError
from tasks.evaluate.benchmark_scores import check, measured

metrics = pytest.importorskip("lm_eval.api.metrics")
registry = pytest.importorskip("lm_eval.api.registry")

TEXTS = [(-30.0, 10), (-8.0, 8), (-60.0, 40), (-5.0, 2)]
"""Log-likelihoods in nats, and words or bytes."""

BITS = 103 / 60 / math.log(2)


def rows(**columns: list[Any]) -> list[dict[str, Any]]:
    return [{"scores": dict(zip(columns, values, strict=True))} for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    ("metric", "values", "value"),
    [
        ("bits_per_byte", TEXTS, BITS),
        ("byte_perplexity", TEXTS, 2**BITS),
        ("word_perplexity", TEXTS, math.exp(103 / 60)),
        ("perplexity", [-1.0, -2.0, -4.5], math.exp(2.5)),
        ("brier_score", [(0, [0.75, 0.25]), (1, [0.5, 0.5])], (2 * 0.25**2 + 2 * 0.5**2) / 2),
        ("mcc", [(1, 1), (0, 0), (1, 0), (0, 0)], 1 / math.sqrt(3)),
        ("f1", [(1, 1), (0, 1), (1, 0), (1, 1)], 2 / 3),
        ("acc", [1, 0, 1, 1], 0.75),
    ],
)
def test_values_are_those_of_lm_eval(metric: str, values: list[Any], value: float) -> None:
    better = {metric: registry.is_higher_better(metric)}
    aggregate = registry.get_metric_aggregation(metric)
    asked = rows(**{metric: values})
    (score,) = measured(asked, {metric: aggregate}, better).values()
    assert score["value"] == pytest.approx(value, abs=1e-4) == round(float(aggregate(values)), 4)
    assert score["low"] <= score["value"] <= score["high"]
    assert score["n"] == len(values)
    lower = ("bits_per_byte", "byte_perplexity", "word_perplexity", "perplexity", "brier_score")
    assert score["better"] == ("lower" if metric in lower else "higher")
    parts = [row["scores"].get(metric) for row in asked]
    if metric in ("brier_score", "mcc", "f1"):
        assert parts == [None] * len(values), "they are of all questions together"
    else:
        mean = sum(parts) / len(parts)
        assert (math.exp(mean) if score.get("ratio") else mean) == pytest.approx(value)
    assert bool(score.get("ratio")) == metric.endswith("perplexity")


def test_what_is_no_number_is_left_out_and_a_task_without_any_is_refused() -> None:
    asked = rows(acc=[1, 0], said=["yes", "no"])
    scores = measured(asked, {"acc": metrics.mean, "said": metrics.mean}, {"acc": True})
    assert list(scores) == ["acc"]
    check("mine", scores)
    with pytest.raises(InputError, match="the task mine gives no score that is a number; name a metric"):
        check("mine", measured(rows(said=["yes"]), {"said": metrics.mean}, {}))


def test_a_metric_by_the_filter_that_read_the_answer() -> None:
    asked = rows(**{"exact_match,plain": [1.0, 0.0], "exact_match,mapped": [1.0, 1.0]})
    scores = measured(asked, {"exact_match": metrics.mean}, {"exact_match": True})
    assert {name: score["value"] for name, score in scores.items()} == {
        "exact_match,mapped": 1.0,
        "exact_match,plain": 0.5,
    }
