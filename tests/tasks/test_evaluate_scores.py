"""Scores: normalisation and the interval, against published values and by simulation."""

import random

import pytest

from tasks.evaluate.scores import exact_match, proportion, scores


@pytest.mark.parametrize(
    ("output", "right"),
    [("docker  run\n -d nginx ", 1.0), ("docker run -d nginx", 1.0), ("docker run nginx", 0.0), ("", 0.0)],
)
def test_exact_match_but_for_white_space(output: str, right: float) -> None:
    assert exact_match({"reference": " docker run -d nginx"}, [output]) == {"exact_match": right}


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
    found = proportion(right, n)
    assert (found["low"], found["high"]) == (low, high)
    assert found["value"] == round(right / n, 4)


@pytest.mark.parametrize(("truth", "n"), [(0.9, 200), (0.5, 50), (0.97, 200)])
def test_interval_covers(truth: float, n: int) -> None:
    chance = random.Random(7)
    hits = 0
    for _ in range(2000):
        found = proportion(sum(chance.random() < truth for _ in range(n)), n)
        hits += found["low"] <= truth <= found["high"]
    assert 0.93 <= hits / 2000 <= 0.97


def test_slices_are_apart_and_rows_without_one_count_in_all_only() -> None:
    found = scores([("a", True), ("a", False), ("b", True), (None, True)])
    assert found["exact_match"]["value"] == 0.75
    assert {name: part["exact_match"]["value"] for name, part in found["slices"].items()} == {"a": 0.5, "b": 1.0}
