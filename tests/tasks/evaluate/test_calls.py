"""A held-out row that ends in a call: the right call is right in any spelling, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.evaluate.settings import Metric
from tests.tasks import tiny
from tests.tasks.evaluate.test_call_format import READ, XML, answer

pytest.importorskip("torch")

TOOLS = json.dumps([{"type": "function", "function": {"name": name}} for name in ("rain", "time")])
Call = tuple[str, dict[str, Any]]
RAIN: Call = ("rain", {"city": "Oslo", "days": 2})
TIME: Call = ("time", {})
KINDS = ("exact_match", "normalised_match", "json_equal", "tool_calls", "contains", "f1")


def coder(template: str) -> Any:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def row(last: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Rain and time?"}, last]
    return {"id": "x", "slice": None, "source": "s", "tools": TOOLS, "messages": messages}


def columns(template: str, last: dict[str, Any], *outputs: str) -> dict[str, list[Any]]:
    """The columns of predictions of a model that says each of `outputs`."""
    from tasks.chat.reasoning import ReasoningReader
    from tasks.evaluate.calls import CallReader
    from tasks.evaluate.engine import Answer
    from tasks.evaluate.predictions import prediction_columns

    tokenizer = coder(template)
    reader = ReasoningReader.of(tokenizer)
    plain = [Answer(reader.split(text).answer.replace("<|im_end|>", ""), 1, "stop", raw=text) for text in outputs]
    rows, metrics = [row(last)] * len(plain), [Metric(kind=kind) for kind in KINDS]
    calls = CallReader(tokenizer, reader)
    return prediction_columns(rows, [None] * len(plain), plain, {}, metrics, Path(), reader, calls)


HERMES = READ["hermes"][0]


def hermes(*calls: Call) -> str:
    texts = (json.dumps({"arguments": values, "name": name}) for name, values in calls)
    return "\n".join(f"<tool_call>{text}</tool_call>" for text in texts)


RIGHT = [
    hermes(RAIN, TIME),
    hermes(TIME, RAIN),
    hermes(("rain", {"days": 2.0, "city": "Oslo"}), TIME) + "<|im_end|>",
    f"I look.\n{hermes(RAIN, TIME)}",
    f"<think>Rain first.</think>\n{hermes(RAIN, TIME)}",
]
WRONG = [
    "",
    "No rain.",
    hermes(RAIN),
    hermes(RAIN, RAIN),
    hermes(RAIN, TIME, TIME),
    hermes(("rain", {"city": "Oslo", "days": "2"}), TIME),
    hermes(("rain", {"city": "Oslo"}), TIME),
    hermes(("snow", RAIN[1]), TIME),
    hermes(RAIN, ("time", {"zone": None})),
    hermes(RAIN, TIME)[:-30],
    f"<think>{hermes(RAIN, TIME)}</think>\nNo rain.",
]


def test_the_calls_of_the_reference_are_right_in_any_spelling_and_nothing_else_is() -> None:
    scored = columns(HERMES, answer(RAIN, TIME), *RIGHT, *WRONG)
    for kind in ("exact_match", "normalised_match", "json_equal", "tool_calls"):
        assert scored[kind] == [1.0] * len(RIGHT) + [0.0] * len(WRONG), kind
    assert scored["reference"][0] == (
        '<tool_call>\n{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
        '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
    )
    assert scored["contains"][len(RIGHT)] == scored["f1"][len(RIGHT)] == 0.0, "an empty answer"


def test_formats_without_json_are_compared_too() -> None:
    rain = "<function=rain><parameter=days>2</parameter><parameter=city>Oslo</parameter></function>"
    time = "<function=time></function>"
    right = [rain + time, f"{time}\n{rain}<|im_end|>", f"I look.\n{rain}{time}"]
    wrong = ["", rain, rain + time + time, rain.replace("Oslo", "Olso") + time, time + rain.replace("rain", "iran")]
    scored = columns(XML, answer(RAIN, TIME), *right, *wrong)
    assert scored["exact_match"] == scored["tool_calls"] == [1.0] * len(right) + [0.0] * len(wrong)


def test_where_the_reference_is_in_words_a_call_is_wrong() -> None:
    words = {"role": "assistant", "content": "No rain."}
    scored = columns(HERMES, words, "No rain.", hermes(RAIN), "Maybe.")
    assert scored["reference"] == ["No rain."] * 3
    assert scored["exact_match"] == [1.0, 0.0, 0.0]
    assert scored["tool_calls"] == [1.0, 0.0, 1.0]
    assert columns(XML, words, "<function=rain><parameter=city>").get("tool_calls") == [0.0]


def test_a_template_that_writes_no_calls_is_told_in_json() -> None:
    scored = columns(tiny.CHATML, answer(TIME), "", '[{"name": "time", "arguments": {}}]')
    assert scored["reference"][0] == '[{"name": "time", "arguments": {}}]'
    assert scored["exact_match"] == [0.0, 0.0], "it cannot be told to call"


def test_the_parser_that_a_tokenizer_brings_reads_its_calls() -> None:
    from tasks.evaluate.calls import CallReader
    from tasks.evaluate.engine import Answer

    tokenizer = coder(XML)
    tokenizer.response_template = {
        "defaults": {"role": "assistant"},
        "start_anchor": "<|im_start|>assistant\n",
        "fields": {
            "tool_calls": {
                "open": "<tool_call>",
                "close_pattern": r"</tool_call>\s*",
                "repeats": True,
                "content": "json",
                "transform": {"type": "function", "function": "{content}"},
            },
            "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
        },
    }
    facts = CallReader(tokenizer).facts(row(answer(RAIN)), Answer("", 1, "stop", raw=f"{hermes(RAIN)}<|im_end|>"))
    assert facts["calls_right"] is True
    assert [call["function"]["name"] for call in facts["answer_calls"]] == ["rain"]


def test_an_endpoint_tells_its_calls_by_the_protocol() -> None:
    from tasks.evaluate.calls import CallReader
    from tasks.evaluate.served import _answer
    from tasks.teacher.request import Response

    reader = CallReader()
    held_out = row(answer(RAIN, TIME))

    def right(*calls: dict[str, Any], text: str = "") -> Any:
        return reader.facts(held_out, _answer(Response(text, "tool_calls", calls, 5, 5), 100))["calls_right"]

    rain, time = answer(("rain", {"days": 2, "city": "Oslo"}), TIME)["tool_calls"]
    assert right(rain, time) and right(time, rain, text="I look.")
    assert not right(rain) and not right() and not right(text="rain, time")
    broken = {"type": "function", "function": {"name": "rain", "arguments": "{"}}
    assert not right(broken, time)
    assert reader.reference(held_out) == (
        '[{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}, {"name": "time", "arguments": {}}]'
    )


def test_the_engine_keeps_what_calls_are_made_of_and_the_room_is_that_of_the_call(tmp_path: Path) -> None:
    from tasks.evaluate.questions import answer_room
    from tests.tasks.evaluate.test_reasoning import answers

    tokenizer = coder(HERMES)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<tool_call>", "</tool_call>"]})
    text = hermes(RAIN)
    (parsed,) = answers(tokenizer, tmp_path, f"{text}<|im_end|>")
    assert (parsed.raw, parsed.text) == (text, text.replace("<tool_call>", "").replace("</tool_call>", ""))
    written = '<tool_call>\n{"name": "rain", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
    length = len(tokenizer(written, add_special_tokens=False)["input_ids"])
    assert answer_room([row(answer(RAIN))], tokenizer, {tokenizer.eos_token_id}, 1000) == length + 8
