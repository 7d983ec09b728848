"""A call of a tool is the same call in whichever shape it came."""

from typing import Any

import pytest

from tasks.rows.tool_call import BadTool, ToolCall, read_arguments, read_call, read_calls

ARGUMENTS = {"city": "Oslo", "days": 2}
TEXT = '{"city": "Oslo", "days": 2}'


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c1", "type": "function", "function": {"name": "rain", "arguments": TEXT}},
        {"id": "c1", "type": "function", "function": {"name": "rain", "arguments": ARGUMENTS}},
        {"id": "c1", "function": '{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}'},
        {"id": "c1", "name": "rain", "arguments": TEXT},
        {"id": "c1", "name": "rain", "parameters": ARGUMENTS},
        {"id": "c1", "tool_name": "rain", "parameters": ARGUMENTS},
        {"id": "c1", "function": "rain", "args": ARGUMENTS},
        {"type": "tool_use", "id": "c1", "name": "rain", "input": ARGUMENTS},
        {"toolUseId": "c1", "name": "rain", "input": ARGUMENTS},
        {"type": "function_call", "call_id": "c1", "name": "rain", "arguments": TEXT},
        '{"id": "c1", "name": "rain", "arguments": {"city": "Oslo", "days": 2}}',
    ],
)
def test_every_shape_is_one_call(call: Any) -> None:
    assert read_call(call).as_openai() == {
        "id": "c1",
        "type": "function",
        "function": {"name": "rain", "arguments": TEXT},
    }


@pytest.mark.parametrize(
    ("arguments", "values", "repaired"),
    [
        ({"b": 1, "a": None}, {"b": 1, "a": None}, False),
        ('{"b": 1.0}', {"b": 1.0}, False),
        ("{'b': True, 'a': None}", {"b": True, "a": None}, True),
        ('"{\\"b\\": 1}"', {"b": 1}, True),
        ("", {}, True),
        (None, {}, False),
    ],
)
def test_arguments_are_an_object(arguments: Any, values: dict[str, Any], repaired: bool) -> None:
    read, _, was_repaired = read_arguments(arguments)
    assert (read, was_repaired) == (values, repaired)


@pytest.mark.parametrize(
    "arguments", ['{"city": "Os', "[1]", '"Oslo"', "7", "Oslo", "{1: 2}", "{'a': {1}}", '{"a": NaN}', 7, ["Oslo"], True]
)
def test_arguments_that_are_no_object_are_refused(arguments: Any) -> None:
    with pytest.raises(BadTool) as bad:
        read_call({"name": "rain", "arguments": arguments})
    assert bad.value.reason == "bad_arguments"


@pytest.mark.parametrize("call", [7, "rain", [], {}, {"arguments": "{}"}, {"name": " "}, {"function": {"name": 7}}])
def test_what_has_no_name_is_no_call(call: Any) -> None:
    with pytest.raises(BadTool) as bad:
        read_call(call)
    assert bad.value.reason == "bad_tool_call"


def test_calls_are_equal_as_json() -> None:
    first, second = read_calls('[{"name": "f", "arguments": {"a": 1, "b": [2.0]}}, {"name": "f", "arguments": "{}"}]')
    assert first.key == ToolCall("f", {"b": [2], "a": 1.0}).key
    assert first.key != ToolCall("f", {"b": [2], "a": True}).key
    assert first.key != ToolCall("f", {"b": [2], "a": "1"}).key
    assert first.key != ToolCall("g", {"b": [2], "a": 1}).key
    assert second.key == ToolCall("f", {}).key
