"""The floor of a classifier: what naming the largest class for every row scores."""

import pytest

from tasks.statistics.confusion import confusion
from tasks.statistics.majority import always_largest, describe_floor


def test_it_is_what_scikit_learn_says() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth = ["a"] * 5 + ["b"] * 3 + ["c"]
    name, accuracy, macro_f1 = always_largest(confusion(truth, ["b", None, "d", *truth[3:]]))
    named = ["a"] * len(truth)
    assert name == "a"
    assert accuracy == pytest.approx(metrics.accuracy_score(truth, named))
    assert macro_f1 == pytest.approx(metrics.f1_score(truth, named, average="macro", zero_division=0))


def test_it_is_said() -> None:
    sentence = describe_floor(confusion(["run", "run", "run", "stop"], [None] * 4))
    assert sentence == "Naming the largest class, run, for every row reaches 75.0 % in accuracy and 42.9 % in macro F1."
