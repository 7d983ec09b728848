"""Answers in all the forms that servers give them: reasoning is told apart, parts are read, each token counts once."""

from pathlib import Path
from typing import Any

import pytest

from tasks.teacher.budget import BudgetTracker
from tasks.teacher.cached_client import ask_all
from tasks.teacher.reading import read_response
from tasks.teacher.request import Response
from tasks.teacher.response_store import ResponseStore
from tasks.teacher.settings import Budget, Teacher
from tests.tasks.teacher_server import Reply, teacher_server

TEXT = {"type": "text", "text": "4"}


def body(message: dict[str, Any], **usage: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": 10, "completion_tokens": 20, **usage}
    return {"choices": [{"message": {"content": None, **message}, "finish_reason": "stop"}], "usage": counts}


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "4"}, "4", ""),
        ({"content": "<think>two</think>\n\n4"}, "4", "two"),
        ({"content": "two</think>\n\n4"}, "4", "two"),
        ({"content": "<think>\n\n</think>\n\n4"}, "4", ""),
        ({"content": "[THINK]two[/THINK]4"}, "4", "two"),
        ({"content": "<think>two and"}, "", "two and"),
        ({"content": "Close it by `</think>`."}, "Close it by `</think>`.", ""),
        ({"content": "4", "reasoning_content": "two"}, "4", "two"),
        ({"content": "4", "reasoning": "two", "reasoning_content": "two"}, "4", "two"),
        ({"content": "<think>two</think>4", "reasoning_content": "two"}, "4", "two"),
        ({"content": "4", "reasoning_details": [{"type": "reasoning.text", "text": "two"}]}, "4", "two"),
        ({"reasoning_content": "two"}, "", "two"),
        ({"content": [TEXT]}, "4", ""),
        ({"content": [TEXT, {"type": "text", "text": "2"}]}, "42", ""),
        ({"content": ["4", {"type": "output_text", "text": "2"}]}, "42", ""),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "two"}]}, TEXT]}, "4", "two"),
        ({"content": [{"type": "thinking", "thinking": "two"}, TEXT]}, "4", "two"),
        ({"content": [{"type": "text", "text": "<think>two</think>"}, TEXT]}, "4", "two"),
        ({"content": [{"type": "image_url", "image_url": {"url": "x"}}, TEXT]}, "4", ""),
        ({"content": []}, "", ""),
    ],
)
def test_reasoning_is_no_part_of_the_text(message: dict[str, Any], text: str, reasoning: str) -> None:
    assert read_response(body(message)) == Response(text, "stop", (), 10, 20, reasoning=reasoning)


def test_a_refusal_may_be_a_field_or_a_part() -> None:
    for message in ({"refusal": "No."}, {"content": [{"type": "refusal", "refusal": "No."}]}):
        assert read_response(body(message)) == Response("No.", "content_filter", (), 10, 20)


@pytest.mark.parametrize(
    ("usage", "sent", "answered", "thought"),
    [
        ({}, 10, 20, None),
        ({"completion_tokens_details": {"reasoning_tokens": 15}, "total_tokens": 30}, 10, 20, 15),
        ({"completion_tokens_details": {"reasoning_tokens": 15}}, 10, 20, 15),
        ({"completion_tokens_details": {"reasoning_tokens": 15}, "total_tokens": 45}, 10, 35, 15),
        ({"completion_tokens_details": {"reasoning_tokens": 50}}, 10, 70, 50),
        ({"total_tokens": 45}, 10, 35, None),
        ({"total_tokens": None, "completion_tokens_details": None}, 10, 20, None),
        ({"prompt_tokens": None, "input_tokens": 9, "completion_tokens": None, "output_tokens": 8}, 9, 8, None),
    ],
)
def test_each_token_is_counted_once(usage: dict[str, Any], sent: int, answered: int, thought: int | None) -> None:
    response = read_response(body({"content": "4"}, **usage))
    assert (response.input_tokens, response.output_tokens, response.reasoning_tokens) == (sent, answered, thought)


def test_what_was_thought_is_on_record() -> None:
    usage = {"completion_tokens_details": {"reasoning_tokens": 3}}
    response = read_response(body({"content": "<think>two</think>4"}, **usage))
    assert response.as_dict()["reasoning"] == "two" and response.as_dict()["reasoning_tokens"] == 3
    assert Response.from_dict(response.as_dict()) == response
    assert "reasoning" not in Response("4").as_dict()


def test_an_answer_without_a_text_is_paid_for_once(tmp_path: Path) -> None:
    """It is not asked again within the run, and its tokens are counted."""
    reply = (
        b'{"choices": [{"message": {"content": {"a": 1}}}], "usage": {"prompt_tokens": 10, "completion_tokens": 20}}'
    )
    store = ResponseStore(tmp_path / "record.sqlite")
    with teacher_server(lambda asked: Reply(body=reply)) as server:
        settings = Teacher(kind="openai", base_url=server.base_url, model="m", max_retries=2, output_price=1e6)
        (response,) = ask_all(settings, ["2+2?"], store, "run", budget=Budget(), report=lambda done: None)
        assert len(server.asked) == 1
    assert response.failed == "the content of the answer is not a text (dict)"
    totals = store.totals("run")
    assert (totals.requests, totals.input_tokens, totals.output_tokens, totals.cost) == (1, 10, 20, 20.0)
    store.close()


def test_the_budget_pays_for_reasoning_once(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "record.sqlite")
    tracker = BudgetTracker(store, "run", Budget(), Teacher(output_price=1e6))
    usage = {"completion_tokens_details": {"reasoning_tokens": 15}, "total_tokens": 30}
    spent = tracker.usage(read_response(body({"content": "4"}, **usage)))
    assert (spent.sent, spent.answered, spent.cost) == (10, 20, 20.0)
    store.close()
