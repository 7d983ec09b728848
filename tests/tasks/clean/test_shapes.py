"""Shapes: each is recognised, becomes canonical content, and can be told back from it without loss."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.checks import fault
from tasks.clean.content import Content, Unusable
from tasks.clean.settings import Columns
from tasks.clean.shapes import recognise, to_content

PUBLIC = Path(__file__).parents[4] / "shared" / "data"

CALL = [{"id": "c1", "type": "function", "function": {"name": "ls", "arguments": '{"path": "."}'}}]
ASKED = {"role": "user", "content": "ask"}
SAID = {"role": "assistant", "content": "answer"}


def turns(part: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Canonical turns as OpenAI's messages."""
    if part is None:
        return None
    return [{"role": turn["role"], "content": turn["content"], **json.loads(turn["extra"] or "{}")} for turn in part]


def test_messages_keep_tools_calls_results_weights_and_parts() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "list "}, {"type": "text", "text": "files"}]},
        {"role": "assistant", "content": "", "tool_calls": CALL},
        {"role": "tool", "content": "a.txt", "tool_call_id": "c1", "name": "ls"},
        {"role": "assistant", "content": "a.txt", "weight": 0},
    ]
    row: dict[str, Any] = {
        "messages": messages,
        "tools": [{"type": "function", "function": {"name": "ls"}}],
        "weight": 0.5,
    }
    parsed = to_content(row)
    assert fault(parsed) is None
    messages_read = turns(parsed.messages)
    assert messages_read is not None
    assert messages_read[1].pop("parts") == messages[1]["content"]
    assert messages_read == [
        {**message, "content": "list files"} if at == 1 else message for at, message in enumerate(messages)
    ]
    assert json.loads(parsed.tools or "") == row["tools"]
    assert parsed.weight == 0.5


def test_sharegpt_with_calls_of_functions() -> None:
    call = {"name": "ls", "arguments": {"path": "."}}
    row = {
        "system": "be brief",
        "tools": json.dumps([{"name": "ls"}]),
        "conversations": [
            {"from": "human", "value": "list"},
            {"from": "function_call", "value": json.dumps(call)},
            {"from": "observation", "value": "a.txt"},
            {"from": "gpt", "value": "a.txt"},
        ],
    }
    parsed = to_content(row)
    openai_call = {"type": "function", "function": {"name": "ls", "arguments": '{"path": "."}'}}
    assert turns(parsed.messages) == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "list"},
        {"role": "assistant", "content": "", "tool_calls": [openai_call]},
        {"role": "tool", "content": "a.txt"},
        {"role": "assistant", "content": "a.txt"},
    ]
    assert json.loads(parsed.tools or "") == [{"type": "function", "function": {"name": "ls"}}]
    assert fault(parsed) is None


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "ask", "chosen": "answer", "rejected": "no"},
        {"prompt": [ASKED], "chosen": [SAID], "rejected": [{**SAID, "content": "no"}]},
        {"chosen": [ASKED, SAID], "rejected": [ASKED, {**SAID, "content": "no"}]},
        {"conversations": [{"from": "human", "value": "ask"}], "chosen": {"from": "gpt", "value": "answer"},
         "rejected": {"from": "gpt", "value": "no"}},
    ],
)  # fmt: skip
def test_preferences_have_one_form(row: dict[str, Any]) -> None:
    parsed = to_content(row)
    assert (parsed.shape, turns(parsed.prompt), turns(parsed.chosen)) == ("preference", [ASKED], [SAID])
    assert turns(parsed.rejected) == [{**SAID, "content": "no"}]
    assert fault(parsed) is None


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "ask", "completion": "answer", "label": True},
        {"messages": [ASKED, SAID], "label": 1},
        {"prompt": [ASKED], "completion": [SAID], "label": "True"},
    ],
)
def test_kto_has_one_form(row: dict[str, Any]) -> None:
    parsed = to_content(row)
    assert (parsed.shape, turns(parsed.prompt), turns(parsed.completion)) == ("kto", [ASKED], [SAID])
    assert parsed.label is True
    assert to_content({**row, "label": False}).label is False


def test_other_names_by_a_map_of_columns() -> None:
    columns = Columns(system="rules", question="in.q", answer="in.a")
    parsed = to_content({"rules": "be brief", "in": {"q": "ask", "a": "answer"}}, columns=columns)
    assert turns(parsed.messages) == [{"role": "system", "content": "be brief"}, ASKED, SAID]
    assert to_content({"body": "a text"}, columns=Columns(text="body")).text == "a text"
    with pytest.raises(Unusable, match="missing_column"):
        to_content({"in": {"q": "ask"}}, columns=columns)


PAIR = {"prompt": "ask", "chosen": "answer", "rejected": "no"}


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        (PAIR, "preference"),
        ({**PAIR, "system": "be brief"}, "preference"),
        ({**PAIR, "Question": None, "Answer": None}, "preference"),
        ({"messages": [ASKED, SAID]}, "messages"),
        ({"text": "a text"}, "text"),
        ({"text": "my card is lost", "label": "lost"}, "classification"),
    ],
)
def test_rows_without_the_named_columns_are_read_by_their_own_keys(row: dict[str, Any], shape: str) -> None:
    columns = Columns(system="system", question="Question", answer="Answer")
    assert to_content(row, columns=columns).shape == shape
    without_system = {name: value for name, value in row.items() if name != "system"}
    assert to_content(without_system, columns=Columns(text="body")).shape == shape
    assert to_content(PAIR, columns=Columns(question="prompt", answer="reply")).shape == "preference"


@pytest.mark.parametrize(
    "row",
    [
        {"Question": "ask", "text": "a note"},
        {"Question": None, "Answer": None, "text": "a note"},
        {"Question": "ask", "Answer": None, "text": "a note", "label": "a"},
        {"one": 1},
    ],
)
def test_a_faulty_row_of_the_named_columns_is_no_row_of_another_format(row: dict[str, Any]) -> None:
    with pytest.raises(Unusable):
        to_content(row, columns=Columns(question="Question", answer="Answer"))


def test_the_named_columns_come_before_a_known_format() -> None:
    columns = Columns(question="prompt", answer="chosen")
    assert to_content(PAIR, columns=columns).shape == "columns"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": "none"}, "unknown_shape"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "unknown_role"),
        ({"messages": [{"role": "user", "content": 7}]}, "not_text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "has_image"),
        ({"conversations": [{"from": "function_call", "value": "{broken"}]}, "bad_tool_call"),
        ({"chosen": "a", "rejected": "b"}, "no_prompt"),
        ({"prompt": "ask", "completion": "answer", "label": "maybe"}, "bad_label"),
        ({"messages": [ASKED, SAID], "weight": -1}, "bad_weight"),
        ({"nothing": 1}, "unknown_shape"),
    ],
)
def test_what_is_no_row_has_a_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unusable) as unusable:
        to_content(row)
    assert unusable.value.reason == reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [ASKED, {**SAID, "tool_calls": CALL}, ASKED, SAID]}, "call_without_result"),
        ({"messages": [ASKED, SAID, {"role": "tool", "content": "x"}, SAID]}, "result_without_call"),
        ({"messages": [ASKED, ASKED, SAID]}, "role_order"),
        ({"messages": [ASKED]}, "no_answer"),
        ({"messages": [ASKED, {"role": "assistant", "content": " "}]}, "no_answer"),
        ({"messages": [{"role": "user", "content": ""}, SAID]}, "empty_turn"),
        ({"prompt": "ask", "chosen": "same", "rejected": "same"}, "equal_pair"),
        ({"text": "\ud800"}, "bad_unicode"),
        ({"text": "  "}, "empty_turn"),
    ],
)  # fmt: skip
def test_rows_that_would_not_train_well_have_a_reason(row: dict[str, Any], reason: str) -> None:
    assert fault(to_content(row)) == reason


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["messages", "conversations", "prompt", "completion", "chosen", "rejected", "label", "text", "instruction", "input",
     "output", "response", "context", "history", "system", "tools", "weight"]
)  # fmt: skip
TURN = st.dictionaries(st.sampled_from(["role", "from", "content", "value", "tool_calls"]), ANYTHING, max_size=3)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(KEYS, ANYTHING | st.lists(TURN, max_size=3), max_size=5))
def test_whatever_comes_is_a_row_or_has_a_reason(row: dict[str, Any]) -> None:
    try:
        parsed = to_content(row)
    except Unusable as unusable:
        assert unusable.reason
        return
    assert isinstance(parsed, Content)
    assert parsed.shape == recognise(row)
    fault(parsed)
    parsed.identity(), parsed.request(), parsed.answer()


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public data are not at ../shared/data")
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("chat/chat_sgd_dev.jsonl", "messages"),
        ("chat/chat_glaive_tools.jsonl", "messages"),
        ("chat/glaive_toolcall_en_demo.json", "sharegpt"),
        ("chat/alpaca_en_demo.json", "alpaca"),
        ("chat/kto_en_demo.json", "kto"),
        ("chat/c4_demo.jsonl", "text"),
        ("preference/preference_dpo_demo.jsonl", "preference"),
    ],
)
def test_public_data_are_recognised_and_whole(name: str, shape: str) -> None:
    text = (PUBLIC / name).read_text()
    rows = json.loads(text) if name.endswith(".json") else list(map(json.loads, text.splitlines()))
    parsed = [to_content(row) for row in rows]
    assert {one.shape for one in parsed} == {shape}
    if shape == "messages":
        assert [turns(one.messages) for one in parsed] == [
            [{**{k: v for k, v in turn.items() if v is not None}, "content": turn["content"] or ""}
             for turn in row["messages"]] for row in rows
        ]  # fmt: skip


@pytest.mark.parametrize("history", [3, True, 1.5, {"user": "a"}, "nope", [["a"]]])
def test_a_history_that_is_no_list_of_pairs(history: Any) -> None:
    with pytest.raises(Unusable, match="unknown_shape"):
        to_content({"instruction": "a", "output": "b", "history": history})
