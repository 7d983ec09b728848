"""Calls are read from what a model wrote, in the way in which its template writes them."""

import json
from typing import Any

import pytest

from tasks.chat.renderer import Renderer
from tasks.evaluate.call_format import CallFormat, common_start
from tests.tasks import tiny

TURNS = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' + m.content -}}"
    "{%- for c in m.tool_calls or [] -%}BODY{%- endfor -%}{{- '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
LISTED = TURNS.replace("{%- for c in", "{{- '[TOOL_CALLS] [' if m.tool_calls -}}{%- for c in").replace(
    "{%- endfor -%}{{- '<|im_end|>", "{%- endfor -%}{{- ']' if m.tool_calls -}}{{- '<|im_end|>"
)
JSON = "{{- 'BEFORE{\"name\": \"' + c.function.name + '\", \"KEY\": ' + c.function.arguments | tojson + '}AFTER' -}}"


def json_body(before: str, key: str, after: str) -> str:
    return JSON.replace("BEFORE", before).replace("KEY", key).replace("AFTER", after)


READ = {
    "hermes": (
        TURNS.replace("BODY", json_body("<tool_call>\\n", "arguments", "\\n</tool_call>")),
        '<tool_call>\n{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>',
        ['<tool_call>{"arguments":{"days":2,"city":"Oslo"},"name":"rain"}</tool_call>',
         'I look.\n<tool_call>\n{"name": "rain", "arguments": {"city": "\\u004fslo", "days": 2.0}}',
         '<think>Or <tool_call>{"name": "snow", "arguments": {}}</tool_call>?</think>\n'
         '<tool_call>{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}</tool_call>'],
        ['{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}', "<tool_call>rain</tool_call>",
         '<tool_call>\n{"name": "rain", "arguments": {"city": "Os'],
    ),
    "llama": (
        TURNS.replace("BODY", json_body("", "parameters", "")),
        '{"name": "rain", "parameters": {"city": "Oslo", "days": 2}}',
        ['{ "parameters" : {"days": 2, "city": "Oslo"}, "name": "rain" }'],
        ['{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}', '{"name": "rain"}'],
    ),
    "a list": (
        LISTED.replace("BODY", json_body("", "arguments", "") + "{{- ', ' if not loop.last -}}"),
        '[TOOL_CALLS] [{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}]',
        ['[TOOL_CALLS][{"name":"rain","arguments":{"days":2,"city":"Oslo"},"id":"abcdefgh1"}]'],
        ['[{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}]'],
    ),
    "the name before": (
        TURNS.replace("BODY", "{{- '[TOOL_CALLS]' + c.function.name + '[CALL_ID]' + c.id + '[ARGS]' "
                              "+ c.function.arguments | tojson -}}"),
        '[TOOL_CALLS]rain[CALL_ID]callq0001[ARGS]{"city": "Oslo", "days": 2}',
        ['[TOOL_CALLS]rain[CALL_ID]zzzzzzzz9[ARGS] {"days":2,"city":"Oslo"}'],
        ['[TOOL_CALLS]rain{"city": "Oslo", "days": 2}', '[TOOL_CALLS]rain[CALL_ID]a[ARGS]{"city": '],
    ),
    "a fence": (
        TURNS.replace("BODY", "{{- '<call>function<sep>' + c.function.name + '\\n```json\\n' "
                              "+ c.function.arguments | tojson + '\\n```' -}}"),
        '<call>function<sep>rain\n```json\n{"city": "Oslo", "days": 2}\n```',
        ['<call>function<sep>rain\n```json\n{\n "days": 2, "city": "Oslo"\n}\n```'],
        ['```json\n{"city": "Oslo", "days": 2}\n```'],
    ),
    "a channel": (
        TURNS.replace("BODY", "{{- ' to=functions.' + c.function.name + '<|message|>' + c.function.arguments | tojson "
                              "-}}"),
        ' to=functions.rain<|message|>{"city": "Oslo", "days": 2}',
        ['to=functions.rain <|message|>{"days": 2, "city": "Oslo"}'],
        ['rain<|message|>{"city": "Oslo", "days": 2}'],
    ),
    "JSON as text": (
        TURNS.replace("BODY", "{{- '<c>' + ({'function': {'name': c.function.name, "
                              "'arguments': c.function.arguments | tojson}} | tojson) + '</c>' -}}"),
        '<c>{"function": {"name": "rain", "arguments": "{\\"city\\": \\"Oslo\\", \\"days\\": 2}"}}</c>',
        ['<c>{"function": {"arguments": "{\\"days\\": 2, \\"city\\": \\"Oslo\\"}", "name": "rain"}}</c>'],
        ['<c>{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}</c>'],
    ),
}  # fmt: skip
XML = TURNS.replace(
    "BODY",
    "{{- '<function=' + c.function.name + '>' -}}{%- for k, v in c.function.arguments.items() -%}"
    "{{- '<parameter=' + k + '>' + (v if v is string else v | tojson) + '</parameter>' -}}{%- endfor -%}"
    "{{- '</function>' -}}",
)
ASKED = [{"role": "user", "content": "Rain?"}]
WANTED = ("rain", '{"city": "Oslo", "days": 2}')


def format_of(template: str) -> CallFormat:
    coder = tiny.tokenizer()
    coder.chat_template = template
    return CallFormat(Renderer(coder))


def answer(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    listed = [
        {"id": f"callq{number:04d}", "type": "function", "function": {"name": name, "arguments": json.dumps(values)}}
        for number, (name, values) in enumerate(calls, 1)
    ]
    return {"role": "assistant", "content": "", "tool_calls": listed}


RAIN = ("rain", {"city": "Oslo", "days": 2})


@pytest.mark.parametrize("name", READ)
def test_calls_are_read_whatever_their_spacing_and_order(name: str) -> None:
    template, written, others, none = READ[name]
    written_by = format_of(template)
    assert written_by.continuation(ASKED, answer(RAIN), None) == f"{written}<|im_end|>\n"
    for text in (written, f"{written}<|im_end|>", *others):
        assert [call.key for call in written_by.read(text)] == [WANTED], text
        assert written_by.calls(text)
    for text in ("", "It rains.", "{", "[TOOL_CALLS]", '{"city": "Oslo"}', *none):
        assert written_by.read(text) == [], text


@pytest.mark.parametrize("name", READ)
def test_parallel_calls_are_read_one_by_one(name: str) -> None:
    written_by = format_of(READ[name][0])
    text = written_by.continuation(ASKED, answer(RAIN, ("time", {}), RAIN), None)
    assert [call.name for call in written_by.read(text)] == ["rain", "time", "rain"]
    assert [call.arguments for call in written_by.read(text)] == [RAIN[1], {}, RAIN[1]]


def test_a_format_without_json_is_spelled_in_every_order() -> None:
    written_by = format_of(XML)
    spellings = list(written_by.spellings(ASKED, answer(RAIN, ("time", {})), None))
    rain = [
        "<function=rain><parameter=city>Oslo</parameter><parameter=days>2</parameter></function>",
        "<function=rain><parameter=days>2</parameter><parameter=city>Oslo</parameter></function>",
    ]
    time = "<function=time></function>"
    expected = {f"{calls}<|im_end|>" for one in rain for calls in (one + time, time + one)}
    assert set(spellings) == expected and len(spellings) == 4
    assert written_by.read(rain[0]) == []
    assert written_by.calls(rain[0]) and not written_by.calls("It rains.")


def test_a_template_that_writes_no_calls_has_none() -> None:
    written_by = format_of(tiny.CHATML)
    assert not written_by.is_written and written_by.opening == ""
    assert not written_by.calls('{"name": "rain", "arguments": {}}')


def test_common_start() -> None:
    assert [common_start("abc", "abd"), common_start("ab", "abc"), common_start("", "a")] == ["ab", "ab", ""]
