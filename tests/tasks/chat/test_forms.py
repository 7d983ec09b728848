"""Ids of calls in the form that a template demands."""

from typing import Any

import pytest

from tasks.chat.forms import ANY_ID, SHORT_ID, with_ids
from tasks.chat.renderer import Renderer
from tests.tasks import tiny

NINE = (
    "{%- for m in messages -%}{%- for c in m.tool_calls or [] -%}"
    "{%- if c.id is not defined or c.id | length != 9 -%}{{- raise_exception('nine') -}}{%- endif -%}"
    "{{- c.function.name + '#' + c.id + ' ' -}}{%- endfor -%}"
    "{%- if m.role == 'tool' -%}{%- if m.tool_call_id is not defined or m.tool_call_id | length != 9 -%}"
    "{{- raise_exception('nine') -}}{%- endif -%}{{- m.tool_call_id + '=' -}}{%- endif -%}"
    "{{- m.content + '\\n' -}}{%- endfor -%}"
)


def calls(*ids: str | None) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    listed = [{**({"id": name} if name else {}), "type": "function", "function": function} for name in ids]
    return {"role": "assistant", "content": "", "tool_calls": listed}


def result(call_id: str | None, text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text, **({"tool_call_id": call_id} if call_id else {})}


@pytest.mark.parametrize(
    ("dialogue", "ids"),
    [
        ([calls("call_a"), result("call_a", "1")], ["call00001", "call00001"]),
        ([calls("abcdefgh1"), result("abcdefgh1", "1")], ["abcdefgh1", "abcdefgh1"]),
        ([calls(None), result(None, "1"), calls(None), result(None, "2")],
         ["call00001", "call00001", "call00002", "call00002"]),
        ([calls("a", "b"), result("a", "1"), result("b", "2")], ["call00001", "call00002", "call00001", "call00002"]),
        ([calls("a"), result("a", "1"), calls("a"), result("a", "2")],
         ["call00001", "call00001", "call00002", "call00002"]),
        ([calls(None, None), result("x", "1"), result("y", "2")],
         ["call00001", "call00002", "call00001", "call00002"]),
    ],
)  # fmt: skip
def test_each_result_has_the_short_id_of_its_call(dialogue: list[dict[str, Any]], ids: list[str]) -> None:
    named = with_ids(dialogue, SHORT_ID)
    written: list[str] = []
    for message in named:
        written += [call["id"] for call in message.get("tool_calls", ())]
        written += [message["tool_call_id"]] if message["role"] == "tool" else []
    assert written == ids
    assert with_ids(named, ANY_ID) == named


def test_a_template_that_demands_them_gets_them_and_no_other_does() -> None:
    coder = tiny.tokenizer()
    coder.chat_template = NINE
    dialogue = [
        {"role": "user", "content": "x"},
        calls("call_1"),
        result("call_1", "y"),
        {"role": "assistant", "content": "z"},
    ]
    assert Renderer(coder).render(dialogue) == "x\nf#call00001 \ncall00001=y\nz\n"
    coder.chat_template = NINE.replace("c.id is not defined or c.id | length != 9", "false").replace(
        "m.tool_call_id is not defined or m.tool_call_id | length != 9", "false"
    )
    assert Renderer(coder).render(dialogue) == "x\nf#call_1 \ncall_1=y\nz\n"
