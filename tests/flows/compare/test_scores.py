"""Scores of a comparison, whoever wrote it, and of published numbers, whatever the names hold."""

import math
from typing import Any

import pytest

from flows.compare.scores import Key, Score, from_comparison, from_numbers

SCORE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}


def test_tasks_are_all_rows_slices_and_benchmarks() -> None:
    candidate = {"exact_match": {**SCORE, "better": "lower"}, "slices": {"new": {"exact_match": SCORE}}}
    document = {"candidates": {"gguf-q8_0": candidate}, "benchmarks": {"base": {"arc": {"acc": {"value": 1}}}}}
    scores = from_comparison(document)
    assert scores == {
        Key("gguf-q8_0", "", "exact_match"): Score(0.5, 0.4, 0.6, 10, True),
        Key("gguf-q8_0", "slice: new", "exact_match"): Score(0.5, 0.4, 0.6, 10),
        Key("base", "arc", "acc"): scores[Key("base", "arc", "acc")],
    }
    assert scores[Key("base", "arc", "acc")].value == 1 and math.isnan(scores[Key("base", "arc", "acc")].low)
    assert Key("adapter", "slice: a_b", "exact_match").column({"adapter": "tuned"}) == "tuned slice: a_b, exact match"


@pytest.mark.parametrize(
    "document",
    [{}, {"candidates": []}, {"candidates": {"a": 1}}, {"candidates": {"a": {"m": {"value": "x"}}}},
     {"candidates": {"a": {"m": {"value": math.nan}}, "b": {"m": {"value": True}}}}, {"benchmarks": {"a": {"b": [1]}}}],
)  # fmt: skip
def test_what_is_no_score_is_left_out(document: dict[str, Any]) -> None:
    assert from_comparison(document) == {}


def test_published_numbers_give_the_same_also_where_names_hold_dots() -> None:
    candidate = {"f1.v2": SCORE, "exact_match": SCORE, "slices": {"v1.0": {"exact_match": SCORE, "f1.v2": SCORE}}}
    benchmarks = {"arc.easy": {"acc": SCORE}}
    document = {"candidates": {"merged": candidate}, "benchmarks": {"merged": benchmarks}}

    def leaves(value: Any, path: str) -> dict[str, float]:
        if isinstance(value, dict):
            return {name: leaf for key, part in value.items() for name, leaf in leaves(part, f"{path}.{key}").items()}
        return {path.removeprefix("."): value}

    numbers = {**leaves(document, ""), "candidates.merged2.exact_match.value": 0.1, "seconds.train": 3.0}
    assert from_numbers(numbers, ("base", "merged")) == from_comparison(document)
