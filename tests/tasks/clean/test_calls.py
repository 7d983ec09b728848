"""Calls of tools and their results: one form for every shape, results behind their calls, a reason for the rest."""

import json
from typing import Any

import pytest

from tasks.clean.checks import fault
from tasks.clean.content import Content, Unusable
from tasks.clean.shapes import to_content

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
RAIN = {"name": "rain", "description": "Rain?", "parameters": SCHEMA}
TIME = {"name": "time", "description": "Time?", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": RAIN}, {"type": "function", "function": TIME}]
ASKED = {"role": "user", "content": "Rain and time?"}
ANSWER = {"role": "assistant", "content": "No, and noon."}
OSLO = '{"city": "Oslo"}'


def call(number: str, name: str = "rain", arguments: Any = OSLO) -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(number: str, text: str = "no", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": number, "content": text, **more}


def row(*middle: dict[str, Any], tools: Any = TOOLS) -> dict[str, Any]:
    return {"tools": tools, "messages": [ASKED, *middle, ANSWER]}


def calls(*each: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(each)}


def read(value: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Turns as OpenAI's messages, and what was noted; the row stays."""
    content = to_content(value)
    assert fault(content) is None
    return messages(content), [finding.name for finding in content.findings]


def messages(content: Content) -> list[dict[str, Any]]:
    return [
        {"role": turn["role"], "content": turn["content"], **json.loads(turn["extra"] or "{}")}
        for turn in content.messages or []
    ]


def reason(value: dict[str, Any]) -> str | None:
    try:
        return fault(to_content(value))
    except Unusable as unusable:
        return unusable.reason


CALLED = {"role": "assistant", "content": "", "tool_calls": [call("c1")]}
WHOLE: list[dict[str, Any]] = [ASKED, CALLED, {"role": "tool", "content": "no", "tool_call_id": "c1"}, ANSWER]


def without_ids(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("id", "tool_call_id")
    bare = [{key: kept for key, kept in turn.items() if key not in keys} for turn in turns]
    for turn in bare:
        if "tool_calls" in turn:
            turn["tool_calls"] = without_ids(turn["tool_calls"])
    return bare


@pytest.mark.parametrize(
    "value",
    [
        row(calls(call("c1")), result("c1")),
        row(calls({"id": "c1", "name": "rain", "arguments": {"city": "Oslo"}}), result("c1")),
        {**row({"role": "assistant", "content": None, "tool_calls": json.dumps([call("c1")])}, result("c1"))},
        {"tools": [{"name": "rain", "description": "Rain?", "input_schema": SCHEMA}],
         "messages": [ASKED,
                      {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "rain",
                                                         "input": {"city": "Oslo"}}]},
                      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1",
                                                    "content": [{"type": "text", "text": "no"}]}]}, ANSWER]},
        {"tools": TOOLS, "messages": [ASKED,
                                      {"type": "function_call", "call_id": "c1", "name": "rain", "arguments": OSLO},
                                      {"type": "function_call_output", "call_id": "c1", "output": "no"}, ANSWER]},
        {"tools": TOOLS, "messages": [
            ASKED, {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "rain",
                                                                  "input": {"city": "Oslo"}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "no"}]}}]}, ANSWER]},
    ],
)  # fmt: skip
def test_every_shape_with_ids_is_one_row(value: dict[str, Any]) -> None:
    assert read(value) == (WHOLE, [])


@pytest.mark.parametrize(
    "value",
    [
        {"functions": [RAIN], "messages": [
            ASKED, {"role": "assistant", "content": None, "function_call": {"name": "rain", "arguments": OSLO}},
            {"role": "function", "name": "rain", "content": "no"}, ANSWER]},
        {"tools": json.dumps([RAIN]), "conversations": [
            {"from": "human", "value": "Rain and time?"},
            {"from": "function_call", "value": json.dumps({"name": "rain", "arguments": {"city": "Oslo"}})},
            {"from": "observation", "value": "no"}, {"from": "gpt", "value": "No, and noon."}]},
        {"tools": [{"functionDeclarations": [RAIN]}], "contents": [
            {"role": "user", "parts": [{"text": "Rain and time?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "rain", "args": {"city": "Oslo"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "rain", "response": "no"}}]},
            {"role": "model", "parts": [{"text": "No, and noon."}]}]},
        row(calls({"name": "rain", "arguments": OSLO}), {"role": "tool", "content": "no"}),
    ],
)  # fmt: skip
def test_every_shape_without_ids_is_one_row(value: dict[str, Any]) -> None:
    turns, notes = read(value)
    assert [{key: kept for key, kept in turn.items() if key != "name"} for turn in turns] == without_ids(WHOLE)
    assert notes == []


def test_a_text_before_a_call_and_calls_one_after_another_are_one_turn() -> None:
    value = {
        "tools": json.dumps([RAIN, TIME]),
        "conversations": [
            {"from": "human", "value": "Rain and time?"},
            {"from": "gpt", "value": "I look."},
            {"from": "function_call", "value": json.dumps({"name": "rain", "arguments": {"city": "Oslo"}})},
            {"from": "function_call", "value": json.dumps({"name": "time", "arguments": {}})},
            {"from": "observation", "value": "no"},
            {"from": "observation", "value": "noon"},
            {"from": "gpt", "value": "No, and noon."},
        ],
    }
    turns, _ = read(value)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "tool", "assistant"]
    assert turns[1]["content"] == "I look."
    assert [one["function"]["name"] for one in turns[1]["tool_calls"]] == ["rain", "time"]


BOTH = calls(call("c1"), call("c2", "time", "{}"))
ORDERED = [result("c1", "no"), result("c2", "noon")]


def test_results_follow_their_calls() -> None:
    assert read(row(BOTH, *ORDERED))[1] == []
    turns, notes = read(row(BOTH, *reversed(ORDERED)))
    assert [turn["content"] for turn in turns if turn["role"] == "tool"] == ["no", "noon"]
    assert notes == ["repaired_result_order"]
    named = [
        {"role": "function", "name": "time", "content": "noon"},
        {"role": "function", "name": "rain", "content": "no"},
    ]
    turns, notes = read(row(BOTH, *named))
    assert [turn["content"] for turn in turns if turn["role"] == "tool"] == ["no", "noon"]
    assert notes == ["repaired_result_order"]
    again = [*BOTH["tool_calls"][:1], call("c2")]
    turns, notes = read(row(calls(*again), *reversed(ORDERED), {**calls(*again), "content": "Again."}, *ORDERED))
    assert [turn["content"] for turn in turns if turn["role"] == "tool"] == ["no", "noon"] * 2, "ids are of one turn"


def test_results_of_a_pair_follow_their_calls() -> None:
    value = {"tools": TOOLS, "prompt": [ASKED], "chosen": [BOTH, *reversed(ORDERED), ANSWER], "rejected": [ANSWER]}
    content = to_content(value)
    assert [turn["content"] for turn in content.chosen or []] == ["", "no", "noon", "No, and noon."]


@pytest.mark.parametrize("joined", ['["no", "noon"]', '{"rain": 0}\n{"time": 12}', '[{"rain": 0}, {"time": 12}]'])
def test_one_result_of_several_calls_is_taken_apart_where_that_is_certain(joined: str) -> None:
    turns, notes = read(row(BOTH, {"role": "tool", "content": joined}))
    texts = [turn["content"] for turn in turns if turn["role"] == "tool"]
    assert texts == (["no", "noon"] if "noon" in joined else ['{"rain": 0}', '{"time": 12}'])
    assert notes == ["repaired_joined_results"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (row(BOTH, result("c1")), "call_without_result"),
        (row(BOTH, {"role": "tool", "content": "no and noon"}), "call_without_result"),
        (row(BOTH, result("c1"), result("c9")), "result_without_call"),
        (row(BOTH, *ORDERED, result("c9")), "result_without_call"),
        (row(BOTH, result("c1"), result("c1")), "duplicate_result"),
        (row(BOTH, *ORDERED, result("c2")), "duplicate_result"),
        (row(calls(call("c1")), {"role": "tool", "content": "a"}, {"role": "tool", "content": "b"}),
         "result_without_call"),
        (row(calls(call("c1", "snow")), result("c1")), "unknown_tool"),
        (row(calls(call("c1", "Rain")), result("c1")), "unknown_tool"),
        (row(calls({"id": "c1", "type": "function", "function": {"arguments": OSLO}}), result("c1")), "bad_tool_call"),
        (row(calls(call("c1", arguments='{"city": "Os')), result("c1")), "bad_arguments"),
        (row(calls(call("c1", arguments='["Oslo"]')), result("c1")), "bad_arguments"),
        (row(calls(call("c1", arguments="")), result("c1")), "bad_arguments"),
        (row(calls(call("c1", arguments=None)), result("c1")), "bad_arguments"),
        (row(tools=[{"type": "function", "function": {"description": "nameless"}}]), "bad_tools"),
        (row(tools="rain"), "bad_tools"),
        ({"tools": TOOLS, "messages": [{**ASKED, "tool_calls": [call("c1")]}, ANSWER]}, "bad_tool_call"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_leaves_with_a_reason(value: dict[str, Any], why: str) -> None:
    assert reason(value) == why


def test_what_is_mended_is_noted() -> None:
    turns, notes = read(row(calls(call("c1", arguments="{'city': 'Oslo'}")), result("c1")))
    assert turns[1]["tool_calls"] == [call("c1")]
    assert notes == ["repaired_arguments"]
    turns, notes = read(row(calls(call("c1", arguments={"city": "Oslo", "path": None})), result("c1")))
    assert turns[1]["tool_calls"] == [call("c1")]
    assert notes == ["repaired_null_keys"]
    padded = [{**tool, "strict": None} for tool in TOOLS]
    assert read(row(calls(call("c1")), result("c1"), tools=padded)) == (WHOLE, ["repaired_null_keys"])
    assert read(row(calls(call("c1", "time", "")), result("c1")))[1] == ["repaired_arguments"]
    for none in (None, [], "", "[]", [None]):
        assert read(row(calls(call("c1")), result("c1"), tools=none)) == (WHOLE, ["calls_without_tools"])


def test_a_row_may_end_in_a_call_of_either_form() -> None:
    for last in (calls(call("c1")), {"role": "assistant", "content": None, "function_call": call("c1")["function"]}):
        content = to_content({"tools": TOOLS, "messages": [ASKED, last]})
        assert fault(content) is None
        assert messages(content)[-1]["tool_calls"][0]["function"] == call("c1")["function"]


def test_calls_in_the_text_of_an_answer_stay_text() -> None:
    text = '<tool_call>\n{"name": "rain", "arguments": {"city": "Oslo"}}\n</tool_call>'
    value = {"messages": [ASKED, {"role": "assistant", "content": text}, {"role": "user", "content": "So?"}, ANSWER]}
    assert read(value) == (value["messages"], [])


def test_equal_rows_in_two_shapes_are_one() -> None:
    new = row(
        calls({"type": "function", "function": {"name": "rain", "arguments": OSLO}}), {"role": "tool", "content": "no"}
    )
    old = {"tools": json.dumps(TOOLS), "conversations": [
        {"from": "human", "value": "Rain and time?"},
        {"from": "function_call", "value": json.dumps({"name": "rain", "arguments": {"city": "Oslo"}})},
        {"from": "observation", "value": "no"}, {"from": "gpt", "value": "No, and noon."}]}  # fmt: skip
    assert to_content(new).identity() == to_content(old).identity()


@pytest.mark.parametrize("number", [{"a": 1}, ["x"]])
def test_a_result_whose_id_is_no_id(number: Any) -> None:
    for one in ({"tool_call_id": number}, {"name": number}):
        value = row(calls(call("1")), {"role": "tool", "content": "no", **one})
        with pytest.raises(Unusable, match="bad_tool_call"):
            read(value)
