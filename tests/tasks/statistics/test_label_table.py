"""Scores where a row has any number of classes, against scikit-learn and by hand."""

import doctest
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tasks.statistics import f1 as f1_module
from tasks.statistics import label_table as label_table_module
from tasks.statistics import majority as majority_module
from tasks.statistics.f1 import Average, compare_f1, f1, numbered_sets, score
from tasks.statistics.label_table import describe_classes, label_table
from tasks.statistics.majority import describe_floor

NAMES = [f"class {at}" for at in range(6)]
COMMON = [0.5, 0.4, 0.3, 0.2, 0.1, 0.03]


def drawn(seed: int, rows: int = 120) -> tuple[Any, Any]:
    """Truth and answers (N, K), each cell of which is wrong now and then."""
    draw = np.random.default_rng(seed)
    truth = draw.random((rows, len(NAMES))) < COMMON
    return truth, np.where(draw.random(truth.shape) < 0.2, ~truth, truth)


def sets(cells: Any) -> list[set[str]]:
    return [{NAMES[at] for at in np.flatnonzero(row)} for row in cells]


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_f1_is_that_of_scikit_learn(average: Average) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, answers = drawn(1)
    assert truth.any(0).all(), "classes without a row are left out here, and not there"
    numbers = numbered_sets(sets(truth), sets(answers))
    expected = metrics.f1_score(truth, answers, average=average)
    assert score(*numbers, average=average) == pytest.approx(expected)
    result = f1(*numbers, average=average)
    assert result["value"] == pytest.approx(expected, abs=5e-5)
    assert result["low"] < result["value"] < result["high"]
    assert result["n"] == 120


def test_each_class_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, answers = drawn(2)
    facts = label_table(sets(truth), sets(answers))
    expected = metrics.precision_recall_fscore_support(truth, answers, zero_division=0)
    for at, name in enumerate(NAMES):
        one = facts["classes"][name]
        measured = (one["precision"], one["recall"], one["f1"], one["support"])
        assert measured == pytest.approx([part[at] for part in expected], abs=5e-5)
        assert one["answered"] == answers[:, at].sum()


def test_a_name_that_is_no_class_counts_against_micro_f1_alone() -> None:
    """By hand: of `a` one of two is found; then micro F1 is 2 * 1 / (2 + 2), with the name that nobody has."""
    truth: list[set[str]] = [{"a"}, {"a"}, set()]
    numbers = numbered_sets(truth, [{"a"}, set(), {"odd"}])
    assert score(*numbers, average="macro") == pytest.approx(2 / 3)
    assert score(*numbers, average="micro") == pytest.approx(2 / 4)
    assert score(*numbered_sets(truth, [{"a"}, {"a"}, None]), average="micro") == 1.0, "what is no list names no class"
    assert score(*numbered_sets([set()], [set()]), average="micro") == 0.0


def test_a_comparison_counts_rows_that_are_right_as_a_whole() -> None:
    """By hand: micro F1 2 * 3 / (3 + 3) against 2 * 2 / (3 + 3); rows 1 and 2 differ, of which one is won."""
    truth: list[set[str]] = [{"a", "b"}, {"a"}, set()]
    numbers = numbered_sets(truth, truth, [{"a", "b"}, {"b"}, set()])
    result = compare_f1(*numbers, average="micro", resamples=200)
    assert result["difference"] == round(1 - 4 / 6, 4)
    assert (result["wins"], result["losses"], result["ties"], result["differ"]) == (1, 0, 2, 1)
    alike = compare_f1(*numbered_sets(truth, truth, truth), average="macro", resamples=200)
    assert (alike["difference"], alike["p"]) == (0.0, 1.0)


def test_swapped_answers_tell_models_apart_and_like_ones_not() -> None:
    truth, good = drawn(3)
    _, other = drawn(3, rows=120)
    noise = np.random.default_rng(4).random(truth.shape) < 0.45
    bad = np.where(noise, ~truth, truth)
    assert compare_f1(*numbered_sets(sets(truth), sets(good), sets(bad)), resamples=500)["p"] < 0.01
    assert compare_f1(*numbered_sets(sets(truth), sets(good), sets(other)), resamples=500)["p"] == 1.0


def test_sentences_say_what_a_mean_hides() -> None:
    truth: list[set[str]] = [{"a"}, {"a", "b"}, {"b"}, {"c"}]
    answers: list[set[str] | None] = [{"a"}, {"a"}, {"a"}, None]
    assert describe_classes(label_table(truth, answers)) == [
        "2 of 3 classes are at 0.00: b and c.",
        "b is missed most: 2 of 2 rows that have it.",
        "a is named wrongly most: 1 of 3 answers that name it.",
        "1 of 4 answers is no list of classes.",
    ]
    assert describe_classes(label_table(truth, truth)) == []


def test_the_floor_is_that_of_the_same_answer_to_every_row() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, _ = drawn(5)
    every = np.ones_like(truth)
    macro, micro = (100 * metrics.f1_score(truth, every, average=average) for average in ("macro", "micro"))
    rows, counts = np.unique(truth, axis=0, return_counts=True)
    exact = 100 * metrics.accuracy_score(truth, np.broadcast_to(rows[counts.argmax()], truth.shape))
    sentence = describe_floor(label_table(sets(truth), sets(every)))
    assert f"reaches {macro:.1f} % in macro F1 and {micro:.1f} % in micro F1" in sentence
    assert f"reaches {exact:.1f} % in subset accuracy" in sentence


@pytest.mark.parametrize(
    "module", [f1_module, label_table_module, majority_module], ids=lambda module: str(module.__name__)
)
def test_the_examples_in_the_docstrings_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_intervals_cover(average: Average, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of cells that are each right with a chance of 0.8: F1 of a class with a share p is 2 * 0.8 p / (p + answered)."""
    monkeypatch.setattr("tasks.statistics.f1.DRAWS", 200)
    shares = np.array([0.5, 0.4, 0.3, 0.2])
    right, answered = 0.8 * shares, 0.8 * shares + 0.2 * (1 - shares)
    expected = float(np.mean(2 * right / (shares + answered)))
    if average == "micro":
        expected = 2 * float(right.sum()) / float(shares.sum() + answered.sum())
    draw, hits = np.random.default_rng(9), 0
    for _ in range(200):
        truth = draw.random((80, len(shares))) < shares
        answers = np.where(draw.random(truth.shape) < 0.2, ~truth, truth)
        result = f1(*numbered_sets(sets(truth), sets(answers)), average=average)
        hits += result["low"] <= expected <= result["high"]
    assert 0.9 <= hits / 200 <= 0.99
