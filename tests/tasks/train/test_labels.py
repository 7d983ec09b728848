"""Answers taken as lists of classes: which rows say what, and rows that do not say it."""

import doctest
from collections.abc import Sequence
from typing import Any

import pytest

from tasks.core.errors import InputError, SettingsError
from tasks.train import labels as labels_module
from tasks.train.classes import class_weights, labelled_rows, learned
from tasks.train.settings import Settings
from tests.tasks import tiny
from tests.tasks.train.test_classes import rows, settings

GOOD = (
    ("web is late", '["late"]'),
    ("web is late and broken", '["late", "broken"]'),
    ("thanks", "[]"),
    ("web is broken", '[ "broken" ]'),
)


def several(**values: Any) -> Settings:
    return settings(labels="several", **values)


def test_a_row_says_of_each_class_whether_it_applies() -> None:
    train, validation = labelled_rows(several(), rows(*GOOD), rows(("late", '["late"]')), tiny.tokenizer())
    assert train.classes == ["broken", "late"]
    assert [train[at]["labels"] for at in range(4)] == [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    assert train.sizes() == [2, 2]
    assert validation is not None
    assert validation[0]["labels"] == [0.0, 1.0]


def test_weights_are_those_of_rows_that_have_the_class() -> None:
    train, _ = labelled_rows(
        several(class_weights="balanced"), rows(*GOOD, ("so late", '["late"]')), rows(), tiny.tokenizer()
    )
    assert class_weights(several(class_weights="balanced"), train) == [3 / 2, 2 / 3]  # rows without / rows with
    assert class_weights(several(class_weights={"late": 3}), train) == [1, 3]


def refusal(answers: Sequence[str], **values: Any) -> str:
    pairs = [(f"row {at}", answer) for at, answer in enumerate(answers)]
    with pytest.raises((InputError, SettingsError)) as error:
        labelled_rows(settings(**values), rows(*pairs), rows(), tiny.tokenizer())
    return str(error.value)


@pytest.mark.parametrize(
    ("answers", "values", "says"),
    [
        (['["a"]', "b", '["a", "b"]', "[]"], {}, "the answer of 1 row of train is not a JSON list"),
        (["a", '["a"]', "b", "b"], {"labels": "one"}, "the answer of 1 row of train is a list of classes"),
        (["a", "[]", "b", "b"], {"labels": "one"}, "set train.labels to several"),
        (['["a", "a"]', '["b"]'] * 2, {}, "the list of 2 rows of train has a class twice"),
        (['["a", " a "]', '["b"]'] * 2, {}, "has a class twice"),
        (['["a", ""]', '["b"]'] * 2, {}, "the list of 2 rows of train has a class without a name"),
        (['["a", 1]', '["b"]'] * 2, {}, "not a JSON list of class names"),
        (['[["a"]]', '["b"]'] * 2, {}, "not a JSON list of class names"),
        (['{"a": 1}', '["b"]'] * 2, {}, "not a JSON list of class names"),
        (["['a']", '["b"]'] * 2, {}, "let clean.columns.classes read them"),
        (["[" * 3000, '["b"]'] * 2, {}, "not a JSON list of class names"),
        (["[]"] * 4, {}, "4 training rows name 0 classes"),
        (['["a"]', "[]"] * 2, {}, "4 training rows name 1 class, but"),
        (['["a"]', '["a", "b"]'] * 2, {}, "all 4 training rows have the class 'a', so there is nothing to learn"),
        (['["a", "b", "c"]', '["d"]', "[]"], {}, "4 different answers in 3 training rows"),
        (['["a", "b"]', '["A"]'] * 3, {}, "'A', 'a' differ only in case"),
        (['["a", "b"]', '["b"]', "[]"] * 2, {"classes": ["a", "c"]}, "does not list the answer 'b' of 4 rows of train"),
        (['["a", "b"]', '["b"]', "[]"] * 2, {"classes": ["a", "b", "c"]}, "lists 'c', but no training row"),
        (['["a", "b"]', '["b"]', "[]"] * 2, {"class_weights": {"c": 2}}, "names 'c', which is not a class"),
    ],
)
def test_answers_that_are_no_lists_to_learn_from(answers: list[str], values: dict[str, Any], says: str) -> None:
    assert says in refusal(answers, **({"labels": "several"} | values))


def test_a_class_of_validation_alone() -> None:
    with pytest.raises(InputError, match="no training row has the answer 'odd' of 1 row of validation"):
        labelled_rows(several(), rows(*GOOD), rows(("odd", '["odd", "late"]')), tiny.tokenizer())


def test_classes_stand_in_the_order_in_which_they_are_listed() -> None:
    assert learned(several(classes=["late", "broken"]), [("broken",), ("late", "broken"), (), ("late",)]) == [
        "late",
        "broken",
    ]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"objective": "rows", "labels": "several"}, "labels has no effect without objective: classify"),
        ({"objective": "rows", "threshold": 0.3}, "threshold has no effect without objective: classify"),
        ({"threshold": 0.3}, "threshold has no effect without labels: several"),
        ({"labels": "several", "threshold": 0}, "greater than 0"),
        ({"labels": "several", "threshold": 1}, "less than 1"),
        ({"labels": "several", "threshold": float("nan")}, "threshold"),
        ({"labels": "many"}, "'one' or 'several'"),
        ({"labels": "several", "classes": ["a", ""]}, "a text in this list is empty"),
        ({"labels": "several", "classes": ["a"]}, "at least two entries"),
        ({"labels": "several", "method": "ia3"}, "cannot be tuned by ia3"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        settings(**values)


def test_keys_that_are_as_ever_leave_no_trace_in_what_is_recorded() -> None:
    assert not {"labels", "threshold"} & set(settings().model_dump(mode="json"))


def test_the_examples_run() -> None:
    result = doctest.testmod(labels_module)
    assert result.attempted
    assert not result.failed
