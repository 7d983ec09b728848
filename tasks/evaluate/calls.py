"""Calls of tools in evaluation: the reference as the template writes it, and whether an answer makes the same calls.

A tokenizer that brings a parser of responses (transformers' `response_template`) reads its own calls; else the format
is learned from what the template renders. An endpoint tells its calls by the protocol.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.chat.renderer import Renderer, Unrenderable
from tasks.chat.special_tokens import special_tokens, token_pattern
from tasks.evaluate.call_format import CallFormat
from tasks.evaluate.call_format import read_calls as read_written
from tasks.evaluate.engine import Answer
from tasks.rows.canonical import Message
from tasks.rows.tool_call import BadTool, ToolCall, read_call, read_calls

Row = dict[str, Any]


class CallReader:
    """Reads the calls of references and answers; one for each candidate."""

    def __init__(self, tokenizer: Any = None, reader: ReasoningReader | None = None) -> None:
        """`tokenizer`: of the candidate; None for an endpoint."""
        self._tokenizer = tokenizer
        self._format = CallFormat(Renderer(tokenizer), reader) if tokenizer is not None else None
        tokens = special_tokens(tokenizer) if tokenizer is not None else {}
        self._specials = token_pattern(tokens)
        self._ends = re.compile(rf"(?:{token_pattern({''.join(token.split()) for token in tokens} - {''}).pattern})+$")

    def reference(self, row: Row) -> str | None:
        """The reference as text where it calls tools, as an answer would be read; None where it does not."""
        answer = row["messages"][-1]
        if not answer.get("tool_calls"):
            return None
        text = self._written(row)
        if text is None:
            return as_text(_calls_of(answer))
        return self._specials.sub("", text).strip()

    def facts(self, row: Row, answer: Answer) -> dict[str, Any]:
        """What metrics are told: `answer_calls` in OpenAI's form, those that can be read; `calls` whether there is any;
        and `calls_right` whether they are those of the reference, None where it makes none."""
        expected = _calls_of(row["messages"][-1])
        if not expected and not row.get("tools"):
            return {}
        calls = self._read(row, answer)
        called = bool(calls) or (self._format is not None and self._format.calls(answer.raw))
        right = self._right(row, expected, calls, answer) if expected else None
        return {"answer_calls": [call.as_openai() for call in calls], "calls": called, "calls_right": right}

    def _right(self, row: Row, expected: list[ToolCall], calls: list[ToolCall], answer: Answer) -> bool:
        if calls and _same(expected, calls):
            return True
        written = self._written(row)
        if self._format is None or written is None or _same(expected, self._format.read(written)):
            return False
        output = self._bare(answer.raw)
        if Counter(output) != Counter(self._bare(written)):
            return False
        before, tools = _before(row), _tools(row)
        return any(output == self._bare(one) for one in self._format.spellings(before, row["messages"][-1], tools))

    def _written(self, row: Row) -> str | None:
        """The reference as the template writes it, control tokens included; None where it does not write calls."""
        if self._format is None or not self._format.is_written:
            return None
        try:
            return self._format.answered(self._format.continuation(_before(row), row["messages"][-1], _tools(row)))
        except Unrenderable:
            return None

    def _read(self, row: Row, answer: Answer) -> list[ToolCall]:
        if self._format is None:
            return _protocol(answer.raw)
        return read_written(self._tokenizer, self._format, answer.raw, _tools(row))

    def _bare(self, text: str) -> str:
        """A text from its first call on, without white space and the control tokens at its end, which differ."""
        assert self._format
        text, opening = "".join(text.split()), "".join(self._format.opening.split())
        return self._ends.sub("", text[max(0, text.find(opening)) :])


def as_text(calls: Iterable[ToolCall]) -> str:
    """Calls as text where no template says how: a list in JSON."""
    return json.dumps([{"name": call.name, "arguments": call.arguments} for call in calls], ensure_ascii=False)


def _protocol(raw: str) -> list[ToolCall]:
    try:
        return read_calls(raw) if raw else []
    except BadTool:
        return []


def _calls_of(message: Message) -> list[ToolCall]:
    return [read_call(call) for call in message.get("tool_calls") or ()]


def _same(first: Iterable[ToolCall], second: Iterable[ToolCall]) -> bool:
    return Counter(call.key for call in first) == Counter(call.key for call in second)


def _before(row: Row) -> list[Message]:
    return list(row["messages"][:-1])


def _tools(row: Row) -> list[Any] | None:
    return json.loads(row["tools"]) if row.get("tools") else None
