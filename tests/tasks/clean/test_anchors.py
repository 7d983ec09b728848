"""Rows for embeddings under the names that data sets have for them; a row that is another thing is read as before."""

import json
from typing import Any

import pytest

from tasks.clean.columns import reading
from tasks.clean.content import Unusable
from tasks.clean.settings import Columns
from tasks.clean.shapes import recognise, to_content
from tasks.rows.pairs import Texts, texts


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"anchor": "a", "positive": "b"}, Texts("a", ("b",))),
        ({"query": "a", "document": "b"}, Texts("a", ("b",))),
        ({"query": "a", "pos": ["b"], "neg": None}, Texts("a", ("b",))),
        ({"query": "a", "pos": ["b", "c"], "neg": ["d", "e", "d"]}, Texts("a", ("b", "c"), ("d", "e"))),
        ({"anchor": "a", "positive": "b", "negative": "c"}, Texts("a", ("b",), ("c",))),
        ({"anchor": "a", "positive": "b", "negative_1": "c", "negative_2": "d"}, Texts("a", ("b",), ("c", "d"))),
        ({"anchor": "a", "positive": "b", "negatives": ["c", "d"]}, Texts("a", ("b",), ("c", "d"))),
        ({"prompt": "a", "completion": "b"}, Texts("a", ("b",))),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, Texts("a", ("b",), ("c",))),
    ],
)
def test_what_an_embedding_model_learns_of_a_row(row: dict[str, Any], expected: Texts) -> None:
    content = to_content(row)
    canonical = {name: getattr(content, name) for name in ("messages", "prompt", "chosen", "rejected", "tools")}
    assert texts(canonical) == expected


def test_every_column_is_read() -> None:
    row = {"anchor": "a", "positive": "b", "negative_1": "c", "negative_2": "d"}
    assert recognise(row) == "anchored"
    assert reading(row, "anchored", Columns()) == {
        "anchor": "question", "positive": "answer", "negative_1": "wrong answer", "negative_2": "wrong answer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"anchor": "a", "positive": []}, "no_answer"),
        ({"anchor": ["a"], "positive": "b"}, "not_text"),
        ({"anchor": "a", "positive": ["b", 3]}, "not_text"),
        ({"anchor": "a", "positive": ["b", " "]}, "empty_turn"),
        ({"anchor": "a", "positive": "b", "negatives": ["c", ""]}, "empty_turn"),
        ({"anchor": "a", "positive": "b", "negatives": ["b", "c"]}, "equal_pair"),
    ],
)
def test_a_row_that_cannot_be_used(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        to_content(row)


def test_a_document_with_an_answer_is_a_question_with_its_context() -> None:
    assert recognise({"query": "q", "document": "d", "answer": "a"}) == "question_answer"


def test_what_is_no_question_with_one_answer_is_nothing_for_embeddings() -> None:
    def turn(role: str, **more: Any) -> dict[str, Any]:
        return {"role": role, "content": "x", "extra": json.dumps(more) if more else None}

    ask, say = turn("user"), turn("assistant")
    assert texts({"messages": [ask, say]}) is not None
    for messages in ([say], [turn("system"), ask, say], [ask, say, ask, say], [ask, turn("assistant", tool_calls=[1])]):
        assert texts({"messages": messages}) is None
    assert texts({"messages": None, "text": "x"}) is None
    assert texts({"messages": [ask, say], "tools": "[]"}) is None
