"""Tables as the hub has them: read without configuration, or asked for with what to write, never guessed."""

from typing import Any

import pytest

from tasks.clean.columns import reading
from tasks.clean.content import Unusable
from tasks.clean.settings import Columns
from tasks.clean.shapes import recognise, to_content
from tasks.clean.tabular import Ambiguous
from tasks.core.yaml_files import parse

HI = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
SHAREGPT = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]


def said(row: dict[str, Any], **columns: Any) -> list[tuple[str, str]]:
    content = to_content(row, columns=Columns.model_validate(columns))
    assert columns or content.shape == recognise(row)
    return [(turn["role"], turn["content"]) for turn in content.turns()]


@pytest.mark.parametrize(
    ("row", "shape", "question", "answer"),
    [
        ({"question": "2 + 2?", "answer": "4"}, "question_answer", "2 + 2?", "4"),
        ({"Question": "2 + 2?", "Answer": "4", "id": 3}, "question_answer", "2 + 2?", "4"),
        ({"question": "Who?", "context": "Ada.", "answer": "Ada"}, "question_answer", "Ada.\n\nWho?", "Ada"),
        (
            {"question": "Who?", "context": "Ada.", "answers": {"text": ["Ada", "Ada"], "answer_start": [0, 0]}},
            "question_answer", "Ada.\n\nWho?", "Ada",
        ),
        ({"input": "list images", "output": "docker images"}, "question_answer", "list images", "docker images"),
        ({"query": "2 + 2?", "response": "4", "type": "sum"}, "question_answer", "2 + 2?", "4"),
        ({"prompt": "2 + 2?", "response": "4"}, "question_answer", "2 + 2?", "4"),
        ({"instruction": "2 + 2?", "response": "4"}, "alpaca", "2 + 2?", "4"),
        ({"instruction": "2 + 2?", "answer": "4"}, "question_answer", "2 + 2?", "4"),
        ({"problem": "2 + 2?", "solution": "4"}, "question_answer", "2 + 2?", "4"),
        ({"text": "my card is lost", "label": "lost_card"}, "classification", "my card is lost", "lost_card"),
        ({"text": "my card is lost", "label": 11, "label_text": "lost"}, "classification", "my card is lost", "lost"),
        ({"text": "my card is lost", "category": "lost_card"}, "classification", "my card is lost", "lost_card"),
        ({"sentence": "good film", "sentiment": "positive"}, "classification", "good film", "positive"),
        ({"premise": "a", "hypothesis": "b", "label": "entailment"}, "classification", "a\n\nb", "entailment"),
        ({"sentence1": "a", "sentence2": "b", "label": "same", "idx": 1}, "classification", "a\n\nb", "same"),
        ({"docstring": "Add.", "code": "a + b"}, "code", "Add.", "a + b"),
        ({"func_code_string": "a + b", "func_documentation_string": "Add."}, "code", "Add.", "a + b"),
        ({"dialog": ["hi", "hello"]}, "dialogue", "hi", "hello"),
        ({"messages": ["hi", "hello"]}, "dialogue", "hi", "hello"),
        ({"chat": HI}, "dialogue", "hi", "hello"),
        ({"anything": SHAREGPT, "id": "a"}, "dialogue", "hi", "hello"),
        ({"data": {"messages": HI, "source": "web"}}, "dialogue", "hi", "hello"),
    ],
)  # fmt: skip
def test_a_question_and_an_answer_are_read_from_the_usual_columns(
    row: dict[str, Any], shape: str, question: str, answer: str
) -> None:
    assert recognise(row) == shape
    assert said(row) == [("user", question), ("assistant", answer)]
    assert said({"system": "Be brief.", **row}) == [("system", "Be brief."), ("user", question), ("assistant", answer)]


@pytest.mark.parametrize(
    "row",
    [
        {"query": "ask", "positive": "good", "negative": "bad"},
        {"anchor": "ask", "positive": "good", "negative": "bad"},
        {"query": "ask", "pos": ["good"], "neg": ["bad"]},
        {"prompt": "ask", "responses": ["fair", "good", "bad"], "scores": [2, 3, 1]},
        {"prompt": "ask", "responses": ["fair", "good", "bad"], "ranks": [2, 1, 3]},
        {
            "instruction": "ask",
            "completions": [{"response": "good", "rating": "5"}, {"response": "bad", "rating": "1"}],
        },
        {"question": "ask", "candidates": [{"text": "bad", "rank": 2}, {"text": "good", "rank": 1}]},
    ],
)
def test_pairs_and_ranked_responses_are_preferences(row: dict[str, Any]) -> None:
    content = to_content(row)
    assert [content.prompt, content.chosen, content.rejected] == [
        [{"role": role, "content": text, "extra": None}]
        for role, text in (("user", "ask"), ("assistant", "good"), ("assistant", "bad"))
    ]


@pytest.mark.parametrize("scores", [[1, 1], [1], ["high", "low"], [None, 2]])
def test_responses_without_an_order_leave(scores: list[Any]) -> None:
    with pytest.raises(Unusable, match="unranked"):
        to_content({"prompt": "ask", "responses": ["a", "b"], "scores": scores})


@pytest.mark.parametrize(
    ("row", "candidates"),
    [
        (
            {"problem": "ask", "solution": "long", "answer": "short"},
            {
                "columns: {question: problem, answer: solution, ignored: [answer]}",
                "columns: {question: problem, answer: answer, ignored: [solution]}",
            },
        ),
        (
            {"title": "a", "content": "b", "label": "c"},
            {"columns: {question: title, answer: label}", "columns: {question: content, answer: label}"},
        ),
        (
            {"question": "ask", "choices": ["a", "b"], "answer": "b"},
            {"columns: {question: question, answer: answer, ignored: [choices]}"},
        ),
    ],
)
def test_what_can_be_read_in_several_ways_is_asked_for(row: dict[str, Any], candidates: set[str]) -> None:
    with pytest.raises(Ambiguous) as asked:
        to_content(row)
    assert set(asked.value.candidates) == candidates
    for line in candidates:  # each of them is what reads it
        columns = parse(line, "safe")["columns"]
        assert said(row, **columns)[-1] == ("assistant", row[columns["answer"]])


@pytest.mark.parametrize("number", [1, "1", 1.0, "1.0"])
def test_a_number_is_a_class_by_its_name(number: Any) -> None:
    assert said({"text": "good film", "label": number}, labels=["bad", "good"])[-1] == ("assistant", "good")
    mapped = {"question": "text", "answer": "label", "labels": ["bad", "good"]}
    assert said({"text": "good film", "label": number}, **mapped)[-1] == ("assistant", "good")


@pytest.mark.parametrize(("number", "labels"), [(1, []), (2, ["bad", "good"]), (-1, ["bad", "good"]), ("1", ["bad"])])
def test_a_number_without_a_name_leaves(number: Any, labels: list[str]) -> None:
    with pytest.raises(Unusable, match="unnamed_class"):
        said({"text": "good film", "label": number}, labels=labels)


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"text": "a story"}, "text"), ({"text": "a story", "url": "a"}, "text"),
        ({"sentence": "a", "score": 0.5}, None), ({"sentence1": "a", "sentence2": "b", "score": 4.5}, None),
        ({"translation": {"en": "a", "de": "b"}}, None), ({"a": HI, "b": HI}, None), ({"tags": ["a", "b"]}, None),
        ({"question": "ask"}, None), ({"answer": "4"}, None), ({"question": 3, "answer": "4"}, None),
    ],
)  # fmt: skip
def test_what_says_nothing_is_not_guessed(row: dict[str, Any], shape: str | None) -> None:
    assert recognise(row) == shape


def test_a_name_that_yaml_would_misread_is_quoted() -> None:
    with pytest.raises(Ambiguous) as asked:
        to_content({"question": "ask", "answer": "a", "Final Answer": "b"})
    columns = parse(asked.value.candidates[1], "safe")["columns"]
    assert columns == {"question": "question", "answer": "Final Answer", "ignored": ["answer"]}


def test_an_ignored_label_leaves_the_text() -> None:
    assert to_content({"text": "a story", "label": "b"}, columns=Columns(ignored=("label",))).text == "a story"


def test_what_each_column_is_read_as_is_told() -> None:
    row = {"Question": "Who?", "passage": "Ada.", "answers": ["Ada"], "page": 3, "id": 1}
    read = {"passage": "context", "Question": "question", "answers": "answer", "id": "name"}
    assert reading(row, "question_answer", Columns()) == read
