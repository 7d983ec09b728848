"""Whether an answer of a server is the one of the evaluation, and how it differs where it is not."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.chat.renderer import Renderer
from tasks.evaluate.calls import CallReader, as_text
from tasks.rows.canonical import Message
from tasks.rows.tool_call import BadTool, ToolCall, read_call, read_calls
from tasks.serve.fields import FieldReader
from tasks.teacher.request import Response


@dataclass(frozen=True)
class Question:
    """A held-out row, and what the candidate said to it in evaluation."""

    id: str
    messages: tuple[Message, ...]
    tools: str | None
    """As JSON."""
    prompt: str
    """As it was rendered."""
    output: str
    reasoning: str
    finish: str


class Alike:
    """Compares answers; calls of tools whatever the order of their arguments, text without the space around it."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer`: of the candidate, whose template wrote the calls; None for one behind an endpoint."""
        self._calls = CallReader(tokenizer)
        self._fields: FieldReader | None = None
        if tokenizer is not None:
            self._fields = FieldReader(tokenizer, Renderer(tokenizer), ReasoningReader.of(tokenizer))

    def difference(self, question: Question, response: Response) -> str:
        """How `response` differs from the evaluated answer, in a phrase; "" where it does not."""
        if response.failed is not None:
            return f"the server rejected it: {response.failed}"
        expected, served = whole(question.output), whole(response.text)
        if response.tool_calls:
            return "" if self._same_calls(question, response) else "other tool calls"
        if question.finish == "length":  # evaluation cut it; the server had one token more
            return "" if served.startswith(expected) else "another answer"
        if served != expected:
            goes_on = expected and served.startswith(expected)
            return "it continues after the answer: the server lacks a stop token" if goes_on else "another answer"
        if response.finish_reason == "length":
            return "the same text, but it did not stop: the server lacks a stop token"
        if response.reasoning and question.reasoning and response.reasoning.strip() != question.reasoning.strip():
            return "the same answer after different reasoning"
        return ""

    def shown(self, response: Response) -> str:
        """An answer as text, its calls included."""
        if response.failed is not None:
            return ""
        calls = json.dumps([call["function"] for call in response.tool_calls]) if response.tool_calls else ""
        return "\n".join(filter(None, (response.text, calls)))

    def _same_calls(self, question: Question, response: Response) -> bool:
        try:
            served = read_calls(json.dumps(list(response.tool_calls), ensure_ascii=False))
        except BadTool:
            return False
        answer = {"role": "assistant", "content": response.text, "tool_calls": list(response.tool_calls)}
        written = self._calls.reference({"messages": [*question.messages, answer], "tools": question.tools})
        bare = "".join(question.output.split())
        if bare in ("".join((written or "").split()), "".join(f"{response.text}{as_text(served)}".split())):
            return True
        tools = json.loads(question.tools) if question.tools else []
        expected = [read_call(call) for call in self._fields.calls(question.output, tools)] if self._fields else []
        return bool(expected) and _counted(expected) == _counted(served)


def whole(text: str) -> str:
    """A text without space around it, and without a part of a character at its end, which no stream can show."""
    return text.strip().rstrip("\ufffd").rstrip()


def _counted(calls: list[ToolCall]) -> Counter[str]:
    return Counter(str(call.key) for call in calls)
