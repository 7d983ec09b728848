"""Cells with any number of classes become an answer that lists them, whatever form they came in."""

import doctest
from typing import Any

import pytest

from tasks.clean import class_cells
from tasks.clean.columns import reading
from tasks.clean.content import Unusable
from tasks.clean.settings import Columns
from tasks.clean.shapes import recognise, to_content

MAPPED = {"question": "body", "classes": "tags"}


def answer(row: dict[str, Any], **columns: Any) -> str:
    content = to_content(row, columns=Columns.model_validate(columns))
    assert content.messages is not None
    return str(content.messages[-1]["content"])


@pytest.mark.parametrize(
    ("tags", "more", "expected"),
    [
        (["late", "broken"], {}, '["late", "broken"]'),
        ([], {}, "[]"),
        ("late", {}, '["late"]'),
        ('["late", "broken"]', {}, '["late", "broken"]'),
        ("['late', 'broken']", {}, '["late", "broken"]'),  # as pandas writes a CSV
        ("[]", {}, "[]"),
        ("late;broken ; odd", {"separator": ";"}, '["late", "broken", "odd"]'),
        ("", {"separator": ";"}, "[]"),
        (None, {"separator": ";"}, "[]"),
        ("café", {"separator": ","}, '["café"]'),
        ([1, 0], {"labels": ["late", "broken"]}, '["broken", "late"]'),
        ("0,1", {"labels": ["late", "broken"], "separator": ","}, '["late", "broken"]'),
    ],
)
def test_a_column_of_classes(tags: Any, more: dict[str, Any], expected: str) -> None:
    assert answer({"body": "Where is it?", "tags": tags}, **MAPPED, **more) == expected


@pytest.mark.parametrize("tags", [None, "", [["late"]], [{"name": "late"}], [None], [True], {"late": 1}])
def test_what_is_no_list_of_classes(tags: Any) -> None:
    with pytest.raises(Unusable) as error:
        answer({"body": "Where is it?", "tags": tags}, **MAPPED)
    assert error.value.reason in ("bad_classes", "not_text")


def test_numbers_need_names() -> None:
    with pytest.raises(Unusable, match="unnamed_class"):
        answer({"body": "Where is it?", "tags": [0, 3]}, **MAPPED, labels=["late", "broken"])


def test_columns_of_flags_are_classes() -> None:
    columns = {"question": "body", "classes": ["toxic", "insult", "meta.threat"]}
    row = {"body": "You!", "toxic": 1, "insult": "0", "meta": {"threat": True}}
    assert answer(row, **columns) == '["toxic", "meta.threat"]'
    assert reading(row, "columns", Columns.model_validate(columns)) == {
        "body": "question",
        "toxic": "class",
        "insult": "class",
        "meta": "class",
    }
    with pytest.raises(Unusable, match="bad_classes"):
        answer({**row, "toxic": 2}, **columns)
    with pytest.raises(Unusable, match="missing_column"):
        answer({"body": "You!"}, **columns)


def test_a_table_with_lists_of_labels_is_known_by_its_columns() -> None:
    rows: list[dict[str, Any]] = [
        {"text": "Where is it?", "labels": ["late"]},
        {"text": "Thanks.", "labels": []},
        {"text": "Where is it, and why broken?", "labels": '["late", "broken", ' + ", ".join(['"odd"'] * 30) + "]"},
    ]
    assert [recognise(row) for row in rows] == ["classification"] * 3
    assert [answer(row) for row in rows[:2]] == ['["late"]', "[]"]
    assert recognise({"text": "Where is it?", "labels": ["late", ""]}) == "classification"
    assert recognise({"text": "Where is it?", "labels": [["late"]]}) == "text"


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"question": "a", "classes": "b", "answer": "c"}, "columns.classes replaces the answer"),
        ({"question": "a", "answer": "c", "separator": ","}, "columns.separator has an effect only beside"),
        ({"question": "a", "classes": ["b", "c"], "separator": ","}, "columns.separator has an effect only beside"),
        ({"question": "a", "classes": ["b"]}, "at least two columns of 0 and 1"),
        ({"question": "a", "classes": ["b", "b"]}, "b occurs more than once"),
        ({"question": "a", "classes": "b", "separator": ""}, "at least 1 character"),
    ],
)
def test_columns_that_do_not_go_together(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Columns.model_validate(columns)


def test_the_examples_run() -> None:
    result = doctest.testmod(class_cells)
    assert result.attempted
    assert not result.failed
