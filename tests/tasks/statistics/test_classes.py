"""Scores of classes, against scikit-learn and by simulation."""

import doctest
from types import ModuleType

import numpy as np
import pytest

from tasks.statistics import confusion as confusion_module
from tasks.statistics import f1 as f1_module
from tasks.statistics import power
from tasks.statistics.confusion import confusion, describe_confusion
from tasks.statistics.f1 import compare_f1, f1, numbered, score


def test_facts_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(3)
    names = [f"class {at}" for at in range(7)]
    truth = draw.choice(names, 200, p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.04, 0.01]).tolist()
    answers = [name if draw.random() < 0.6 else str(draw.choice([*names, "none"])) for name in truth]
    facts = confusion(truth, [None if name == "none" else name for name in answers])
    expected = metrics.precision_recall_fscore_support(truth, answers, labels=names, zero_division=0)
    for at, name in enumerate(names):
        one = facts["classes"][name]
        measured = (one["precision"], one["recall"], one["f1"], one["support"])
        assert measured == pytest.approx([part[at] for part in expected], abs=5e-5)
    matrix = metrics.confusion_matrix(truth, answers, labels=[*names, "none"])
    for at, name in enumerate(names):
        one = facts["classes"][name]
        assert [one["answers"].get(other, 0) for other in names] + [one["no_class"]] == matrix[at].tolist()
    assert facts["no_class"] == answers.count("none")


def test_sentences_say_what_a_mean_hides() -> None:
    truth = ["a"] * 5 + ["b"] * 5 + ["c"] * 4 + ["d"] * 2
    answers = ["a"] * 5 + ["b", "b", "c", "c", None] + ["b", "b", "b", "c"] + ["a", None]
    assert describe_confusion(confusion(truth, answers)) == [
        "1 of 4 classes is at 0.00: d.",
        "b and c are confused most: 5 of their 9 rows.",
        "2 of 16 answers are none of the classes.",
    ]
    assert describe_confusion(confusion(["a", "b"], ["a", "b"])) == []
    nothing = confusion(["a", "b", "b", "b"], ["a", "b", None, None])
    assert describe_confusion(nothing) == [
        "2 of 4 answers are none of the classes, most often where b is right (2 times)."
    ]


def answered(truth: np.ndarray, classes: int, right: float, draw: np.random.Generator) -> np.ndarray:
    """A row's class with a chance of `right`; else the next one, or none at all."""
    other = np.where(draw.random(len(truth)) < 0.8, (truth + 1) % classes, classes)
    return np.where(draw.random(len(truth)) < right, truth, other)


def true_macro_f1(right: float) -> float:
    """Of such answers, with classes alike in number: each is answered `right` + 0.8 (1 - `right`) times as often."""
    return 2 * right / (1 + right + 0.8 * (1 - right))


@pytest.mark.parametrize("classes", [2, 7, 77])
def test_macro_f1_is_that_of_scikit_learn(classes: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(1)
    truth = draw.integers(0, classes, 300)
    answers = answered(truth, classes, 0.6, draw)
    labels = sorted(set(truth.tolist()))
    expected = metrics.f1_score(truth, answers, labels=labels, average="macro", zero_division=0)
    assert score(truth, answers, classes) == pytest.approx(expected)
    names = [f"class {at}" for at in truth]
    assert f1(*numbered(names, [f"class {at}" for at in answers]))["value"] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("classes", "n", "right"), [(5, 60, 0.7), (20, 400, 0.6), (3, 40, 0.95)])
def test_the_interval_of_macro_f1_covers(classes: int, n: int, right: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.statistics.f1.DRAWS", 200)
    draw, hits = np.random.default_rng(8), 0
    for _ in range(400):
        truth = draw.integers(0, classes, n)
        result = f1(truth, answered(truth, classes, right, draw), classes)
        hits += result["low"] <= true_macro_f1(right) <= result["high"]
    assert 0.92 <= hits / 400 <= 0.99


@pytest.mark.parametrize(("first", "second", "least", "most"), [(0.7, 0.7, 0, 0.075), (0.8, 0.6, 0.7, 1)])
def test_a_difference_in_macro_f1_covers_and_errs_no_more_than_its_level(
    first: float, second: float, least: float, most: float
) -> None:
    draw, hits, significant = np.random.default_rng(2), 0, 0
    difference = true_macro_f1(first) - true_macro_f1(second)
    for _ in range(300):
        truth = draw.integers(0, 6, 90)
        one, two = (answered(truth, 6, right, draw) for right in (first, second))
        result = compare_f1(truth, one, two, 6, resamples=200)
        hits += result["low"] <= difference <= result["high"]
        significant += result["p"] < 0.05
    assert 0.92 <= hits / 300 <= 0.99
    assert least <= significant / 300 <= most, "the level, chance of the simulation itself aside"


def test_models_that_answer_alike_are_not_alike_for_certain() -> None:
    truth = np.arange(40) % 4
    result = compare_f1(truth, truth, truth, 4)
    assert (result["difference"], result["p"], result["differ"]) == (0.0, 1.0, 0)
    assert result["low"] < -0.03
    assert result["high"] > 0.03


@pytest.mark.parametrize("module", [confusion_module, f1_module, power], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
