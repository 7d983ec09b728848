"""Definitions of tools have one form, without the nulls that tables add."""

import json
from typing import Any

import pytest

from tasks.rows.tool_call import BadTool
from tasks.rows.tools import arguments_without_padding, has_nulls, read_tools, schemas

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "rain", "description": "Rain?", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}
GEMINI = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}


@pytest.mark.parametrize(
    "tools",
    [
        [TOOL],
        TOOL,
        [FUNCTION],
        json.dumps([TOOL]),
        json.dumps([FUNCTION]),
        json.dumps(json.dumps([TOOL])),
        [json.dumps(TOOL)],
        [json.dumps(FUNCTION), None],
        [{"type": "function", **FUNCTION}],
        [{"function": FUNCTION}],
        [{"type": "function", "function": json.dumps(FUNCTION)}],
        [{**FUNCTION, "parameters": json.dumps(SCHEMA)}],
        [{"name": "rain", "description": "Rain?", "input_schema": SCHEMA}],
        [{"type": "custom", "name": "rain", "description": "Rain?", "input_schema": SCHEMA}],
        [{"functionDeclarations": [{**FUNCTION, "parameters": GEMINI}]}],
        [{"toolSpec": {"name": "rain", "description": "Rain?", "inputSchema": {"json": SCHEMA}}}],
    ],
)
def test_every_shape_is_one_definition(tools: Any) -> None:
    read = read_tools(tools)
    assert json.dumps(read) == json.dumps([TOOL]), "keys stay in the order in which they came"


@pytest.mark.parametrize(
    "tools",
    ["no JSON", 5, [1], [{"function": "x"}], [{"type": "web_search"}], [{"name": ""}], [{**FUNCTION, "parameters": 7}],
     [{"type": "function", "function": {"description": "nameless"}}], [{"name": None}]],
)  # fmt: skip
def test_what_is_no_definition_is_refused(tools: Any) -> None:
    with pytest.raises(BadTool) as bad:
        read_tools(tools)
    assert bad.value.reason == "bad_tools"


def test_nulls_of_other_rows_leave_and_meant_ones_stay() -> None:
    padded = {
        "name": "rain",
        "strict": None,
        "parameters": {
            "type": "object",
            "$defs": None,
            "properties": {
                "city": {"type": "string", "enum": None, "default": None},
                "path": None,
                "unit": {"type": None, "enum": None},
                "days": {"type": ["integer", "null"], "default": None, "enum": [1, None]},
                "hour": {"anyOf": [{"type": "integer", "enum": None}, {"type": "null"}], "default": None},
            },
        },
    }
    assert has_nulls([padded])
    assert not has_nulls([TOOL])
    assert schemas(read_tools([padded])) == {
        "rain": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": ["integer", "null"], "default": None, "enum": [1, None]},
                "hour": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            },
        }
    }
    empty = {"name": "now", "parameters": {"type": "object", "properties": {"city": None, "path": {"type": None}}}}
    assert schemas(read_tools([empty])) == {"now": {"type": "object", "properties": {}}}
    assert schemas(read_tools([{"name": "now", "parameters": {"type": None, "properties": None}}])) == {"now": {}}


NULLABLE = {
    "properties": {"city": {"type": "string"}, "day": {"type": ["string", "null"]}, "where": {"type": "object"}}
}


@pytest.mark.parametrize(
    ("values", "schema", "as_text", "kept"),
    [
        ({"city": "Oslo", "path": None}, {}, False, {"city": "Oslo"}),
        ({"city": "Oslo", "path": None, "day": None}, NULLABLE, False, {"city": "Oslo", "day": None}),
        ({"city": None}, NULLABLE, False, {}),
        ({"where": {"x": None}, "list": [{"x": None, "y": 0}]}, {}, False, {"list": [{"y": 0}]}),
        ({"where": {"x": 1, "y": None}}, NULLABLE, False, {"where": {"x": 1}}),
        ({"city": None, "path": None}, NULLABLE, True, {"city": None}),
        ({"city": None, "path": None}, {}, True, {"city": None, "path": None}),
        ({"city": "", "n": 0, "on": False, "of": [], "in": {}}, {}, False,
         {"city": "", "n": 0, "on": False, "of": [], "in": {}}),
    ],
)  # fmt: skip
def test_arguments_lose_the_keys_of_other_rows_alone(
    values: dict[str, Any], schema: dict[str, Any], as_text: bool, kept: dict[str, Any]
) -> None:
    assert arguments_without_padding(values, schema, as_text=as_text) == kept
