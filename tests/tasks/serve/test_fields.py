"""Reasoning, answers and calls of tools stand in the fields that OpenAI's clients read, streamed or not."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tasks.core.paths import Paths
from tasks.serve.app import build
from tasks.serve.fields import FieldReader, Stream
from tasks.serve.prompts import Prompter
from tests.tasks import tiny
from tests.tasks.evaluate.test_call_format import READ
from tests.tasks.evaluate.test_reasoning import OPENED, QWEN
from tests.tasks.serve.serving import Scripted, service

pytest.importorskip("torch")

TOOL = {"type": "function", "function": {"name": "rain", "parameters": {"type": "object", "properties": {}}}}
ASKED: Any = [{"role": "user", "content": "will it rain?"}]


def tokenizer(template: str) -> Any:
    coder = tiny.tokenizer()
    coder.chat_template = template
    return coder


def said(template: str, *pieces: str, **body: Any) -> tuple[list[tuple[str, str]], Any]:
    """What is streamed of pieces, as (field, text), and the whole."""
    coder = tokenizer(template)
    prompter = Prompter(coder, 2000)
    reader = FieldReader(coder, prompter.renderer, prompter.reader)
    prompt = prompter.prompt({"messages": ASKED, **body})
    stream = Stream(reader, prompt)
    parts = []
    for new in [*[stream.feed(piece) for piece in pieces], stream.end()]:
        parts += [(name, text) for name in ("reasoning", "content") if (text := getattr(new, name))]
    return parts, stream.whole()


def letters(text: str) -> list[str]:
    return list(text)


@pytest.mark.parametrize(
    ("template", "text", "reasoning", "content"),
    [
        (QWEN, "<think>\ntwo\n</think>\n\n4", "two", "4"),
        (OPENED, "two\n</think>\n\n4", "two", "4"),
        (QWEN, "4 < 5 <b>", "", "4 < 5 <b>"),
        (QWEN, "<think>\nnever ends", "never ends", ""),
        (QWEN, "a <|im_sta b", "", "a <|im_sta b"),
        (QWEN, "<|im_start|>a<|pad|>b", "", "ab"),
    ],
)
def test_reasoning_and_answer(template: str, text: str, reasoning: str, content: str) -> None:
    for pieces in ([text], letters(text)):
        parts, whole = said(template, *pieces)
        assert (whole.reasoning, whole.content) == (reasoning, content)
        assert "".join(text for name, text in parts if name == "content") == content
        assert "".join(text for name, text in parts if name == "reasoning").strip() == reasoning
        assert not [text for _, text in parts if "think" in text or ("<|im" in text and "sta b" not in content)]


def test_content_comes_as_it_is_written() -> None:
    parts, _ = said(QWEN, "doc", "ker", " ps")
    assert parts == [("content", "doc"), ("content", "ker"), ("content", " ps")]


def test_reasoning_that_only_ends_loses_no_answer() -> None:
    """What came before was given as content, since nothing showed what it is."""
    parts, whole = said(QWEN, "two", "</think>", "4")
    assert (whole.reasoning, whole.content) == ("two", "4")
    assert parts[-1] == ("content", "4")


@pytest.mark.parametrize("stop", ["END", ["zzz", "ND"], ["END", "x"]])
def test_a_stop_string_ends_an_answer_and_shows_in_none_of_it(stop: Any) -> None:
    for pieces in (["one END two"], letters("one END two"), ["one E", "ND two"]):
        parts, whole = said(QWEN, *pieces, stop=stop)
        expected = "one E" if stop == ["zzz", "ND"] else "one "
        assert whole.content == "".join(text for _, text in parts) == expected
    _, whole = said(QWEN, "<think>\nEND\n</think>\n\n4", stop="END")
    assert (whole.reasoning, whole.content) == ("END", "4"), "what a model thinks is no answer"


@pytest.mark.parametrize("name", sorted(READ))
def test_calls_in_the_formats_of_templates(name: str) -> None:
    template, text, others, no_calls = READ[name]
    for written in (text, *others):
        for pieces in ([written], letters(written)):
            parts, whole = said(template, *pieces, tools=[TOOL])
            assert [call["function"]["name"] for call in whole.calls] == ["rain"], written
            streamed = "".join(text for part, text in parts if part == "content")
            assert streamed == whole.content == ("I look." if written.startswith("I look.") else "")
    for written in no_calls:
        assert said(template, *letters(written), tools=[TOOL])[1].calls == []
    assert said(template, text)[1].calls == [], "nobody offered a tool"


def test_openais_client_reads_calls_and_reasoning(tmp_path: Path) -> None:
    hermes, text, *_ = READ["hermes"]
    engines: dict[str, Any] = {
        "calls": Scripted("I look. ", *letters(text), "<|im_end|>"),
        "thinks": Scripted("<think>", "two", "</think>", "4"),
        "cut": Scripted("docker", finish="length"),
    }
    app = build(service(tokenizer(hermes), Paths(tmp_path), **engines))
    results = asyncio.run(_asked(app))
    message, choice = results["calls"].choices[0].message, results["calls"].choices[0]
    assert (choice.finish_reason, message.content) == ("tool_calls", "I look.")
    (call,) = message.tool_calls
    assert (call.type, call.function.name) == ("function", "rain")
    assert call.function.arguments == '{"city": "Oslo", "days": 2}'
    (streamed,) = [chunk for chunk in results["streamed"] if chunk.choices[0].delta.tool_calls]
    delta = streamed.choices[0].delta.tool_calls[0]
    assert (delta.index, delta.function.name, delta.function.arguments) == (0, "rain", call.function.arguments)
    assert results["streamed"][-1].choices[0].finish_reason == "tool_calls"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in results["streamed"]).strip() == "I look."
    assert results["thinks"].choices[0].message.reasoning_content == "two"
    assert results["thinks"].choices[0].message.content == "4"
    assert results["cut"].choices[0].finish_reason == "length"
    # the dialogue goes on with the call and its result, as clients send them back
    assert results["result"].choices[0].message.content
    prompt = engines["calls"].asked[-1].ids
    assert "Oslo" in tiny.tokenizer().decode(prompt)


async def _asked(app: Any) -> dict[str, Any]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport) as known:
        http: Any = known  # openai names its own copy of httpx
        client = openai.AsyncOpenAI(base_url="http://127.0.0.1/v1", api_key="none", http_client=http, max_retries=0)
        create: Any = client.chat.completions.create
        results = {name: await create(model=name, messages=ASKED, tools=[TOOL]) for name in ("calls", "thinks", "cut")}
        stream = await create(model="calls", messages=ASKED, tools=[TOOL], stream=True)
        results["streamed"] = [chunk async for chunk in stream]
        answer = results["calls"].choices[0].message
        turns = [*ASKED, answer.model_dump(exclude_none=True),
                 {"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": "yes"}]  # fmt: skip
        results["result"] = await create(model="calls", messages=turns, tools=[TOOL])
        return results


def test_a_request_without_a_system_prompt_gets_that_of_the_rows(tmp_path: Path) -> None:
    coder = tiny.tokenizer()
    for before, default, own, expected in (
        ("", "Be brief.", None, "Be brief."), ("", "Be brief.", "Be long.", "Be long."), ("", "Be brief.", "", None),
        ("Answer only.", "", None, "Answer only."), ("Answer only.", "", "Be long.", "Answer only.\n\nBe long."),
    ):  # fmt: skip
        messages = [*([{"role": "developer", "content": own}] if own is not None else []), *ASKED]
        ids = Prompter(coder, 2000, before, default).prompt({"messages": messages}).ask.ids
        system = f"<|im_start|>system\n{expected}<|im_end|>\n" if expected else ""
        assert coder.decode(ids) == f"{system}<|im_start|>user\nwill it rain?<|im_end|>\n<|im_start|>assistant\n"
