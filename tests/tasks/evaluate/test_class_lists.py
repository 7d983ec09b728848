"""Answers that are lists of classes: what a text names, which references can be asked, what an answer scores."""

import doctest
from typing import Any

import pytest

from tasks.chat.reasoning import ReasoningReader
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate import class_lists
from tasks.evaluate.class_lists import ClassLists, known_classes
from tasks.evaluate.engine import Answer
from tasks.evaluate.predictions import prediction_columns
from tasks.evaluate.scores import metric_scores
from tasks.evaluate.settings import Metric
from tests.tasks.evaluate.test_classes import rows

METRIC = Metric(kind="multilabel")
NAMES = ["late", "lost card"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('["late"]', '["late"]'),
        ('["Lost  card.", "late", "late"]', '["late", "lost card"]'),
        ('```json\n["late"]\n```', '["late"]'),
        ('["odd", "late"]', '["late", "odd"]'),
        ("[]", "[]"),
        ("late", None),
        ('["late"', None),
        ("[1]", None),
        ("", None),
        ("[" * 5000, None),
    ],
)
def test_an_answer_names_classes_in_any_order(text: str, named: str | None) -> None:
    assert ClassLists(NAMES).named(text) == named


def test_classes_are_those_of_references_or_those_that_are_listed() -> None:
    assert known_classes(METRIC, rows(['["b", "a"]', "[]", '["c"]'])).names == ["a", "b", "c"]
    listed = Metric(kind="multilabel", choices=["b", "a"])
    assert known_classes(listed, rows(['["a"]'])).names == ["b", "a"]


@pytest.mark.parametrize(
    ("references", "choices", "says"),
    [
        (["late", '["late"]'], [], "the reference 'late' of the row row0 is not a JSON list of class names"),
        (['["late", ""]'], [], "is not a JSON list of class names"),
        (["[]", "[]"], [], "the test rows name 0 classes"),
        ([str([f"c{row}"]).replace("'", '"') for row in range(1001)], [], "the test rows name 1,001 classes"),
        (['["late"]', '["odd"]'], ["late", "lost"], "'odd', which test rows name, is not one of the metric's choices"),
    ],
)
def test_references_that_are_no_lists_of_classes(references: list[str], choices: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        known_classes(Metric(kind="multilabel", choices=choices), rows(references))


def test_written_answers_are_scored_by_the_classes_that_they_name() -> None:
    """By hand: classes right 1 + 1 + 0 of 3 in references and 2 + 1 + 1 in answers; one row of four is right as a
    whole, and what is no list is wrong even where no class applies."""
    held_out = [row | {"slice": None, "source": "here"} for row in rows(['["a"]', '["a", "b"]', "[]", "[]"])]
    answers = [Answer(text, 3, "stop") for text in ('["b", "a"]', '["a", "b"]', '["a"]', "none")]
    known: dict[str, Any] = {"multilabel": known_classes(METRIC, held_out)}
    columns = prediction_columns(
        held_out, [None] * 4, answers, {}, [METRIC], Paths().scoring, ReasoningReader(), classes=known
    )
    assert columns["multilabel_class"] == ['["a"]', '["a", "b"]', "[]", "[]"]
    assert columns["multilabel_answer"] == ['["a", "b"]', '["a", "b"]', '["a"]', None]
    assert columns["subset_accuracy"] == [0, 1, 0, 0]
    assert columns["macro_f1"] == columns["micro_f1"] == [2 / 3, 1, 0, 0]
    scores = metric_scores([METRIC], columns, [0, 1, 2, 3])
    assert scores["micro_f1"]["value"] == round(2 * 3 / (3 + 5), 4)
    assert scores["macro_f1"]["value"] == round((4 / 5 + 2 / 3) / 2, 4)
    assert scores["subset_accuracy"]["value"] == 0.25
    assert metric_scores([METRIC], columns, [2])["macro_f1"]["value"] == 0.0


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"by": "likelihood"}, "the key by belongs to the metric classification"),
        ({"of": "reasoning"}, "remove `of`"),
        ({"choices": ["a"]}, "list at least two"),
        ({"choices": ["a", " a"]}, "twice"),
    ],
)
def test_keys_that_do_not_go_with_lists(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Metric.model_validate({"kind": "multilabel", **values})


def test_the_examples_run() -> None:
    result = doctest.testmod(class_lists)
    assert result.attempted
    assert not result.failed
