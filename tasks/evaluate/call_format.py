"""How a chat template writes calls of tools, learned from what it renders, and calls read from what a model wrote.

Where the arguments stand as JSON, as in the formats of Hermes, Llama 3, Mistral, DeepSeek and gpt-oss, calls are read
whatever their spacing and order. Other formats, such as tags or Python for each argument, are compared by rendering the
right call in every order.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice, permutations, product
from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.chat.renderer import PROBE_CALL, PROBE_TOOL, Renderer, Unrenderable
from tasks.rows.canonical import Message
from tasks.rows.tool_call import BadTool, ToolCall, read_arguments, read_call

MOST_SPELLINGS = 720
"""Orders of calls and arguments that are tried."""

_NAME = r"([^\s<>\[\]{}()\"']+?)"
_DECODER = json.JSONDecoder()

Path = tuple[str, ...]


class CallFormat:
    """The way in which a template writes calls."""

    def __init__(self, renderer: Renderer, reader: ReasoningReader | None = None) -> None:
        """`reader` tells reasoning from answers; None: by the template's own markers."""
        self._renderer = renderer
        self._reader = reader or ReasoningReader.for_template(renderer)

    def continuation(self, before: list[Message], answer: Message, tools: list[Any] | None) -> str:
        """What stands in training behind the prompt of `answer`: the turn with its end. Raises `Unrenderable`."""
        prompt = self._renderer.render(before, tools, generation_prompt=True)
        text = self._renderer.render([*before, answer], tools)
        if text.startswith(prompt):
            return text[len(prompt) :]
        shared = len(common_start(prompt, text))  # the prompt opens a thought that the turn does not have
        while shared and text[shared - 1] in "<[":
            shared -= 1
        return text[shared:]

    @cached_property
    def is_written(self) -> bool:
        """Whether the template writes calls."""
        return "nq" in (self._probe([("nq", "{}")]) or "")

    @cached_property
    def opening(self) -> str:
        """What each turn that calls begins with, up to the first tool's name; empty where calls are not written."""
        first, second = [self.answered(self._probe([(name, "{}")]) or "") for name in ("nq", "mq")]
        return common_start(first, second) if self.is_written else ""

    def answered(self, text: str) -> str:
        """A text of the model without its reasoning."""
        return self._reader.split(text).answer.strip()

    def calls(self, text: str) -> bool:
        """Whether the text calls a tool, be it in a way that can be read or not."""
        return bool(self.read(text)) or (bool(self.opening) and self.opening in self.answered(text))

    def read(self, text: str) -> list[ToolCall]:
        """The calls in a text of the model with its control tokens; none where it holds none that can be read."""
        text = self.answered(text)
        try:
            return list(self._inside(text) if self._paths else self._beside(text) if self._pattern else ())
        except (BadTool, RecursionError):
            return []

    def spellings(self, before: list[Message], answer: Message, tools: list[Any] | None) -> Iterator[str]:
        """The turn `answer` with its calls and their arguments in every order, as the template writes them."""
        functions = [call["function"] for call in answer["tool_calls"]]
        arguments = [list(read_arguments(function["arguments"])[0].items()) for function in functions]
        orders = product(permutations(range(len(functions))), *map(permutations, arguments))
        for order, *ordered in islice(orders, MOST_SPELLINGS):
            calls = [
                {**call, "function": {**call["function"], "arguments": json.dumps(dict(pairs), ensure_ascii=False)}}
                for call, pairs in zip(answer["tool_calls"], ordered, strict=True)
            ]
            yield self.answered(self.continuation(before, {**answer, "tool_calls": [calls[n] for n in order]}, tools))

    @cached_property
    def _paths(self) -> tuple[Path, Path, str] | None:
        """Where a JSON object that is a call has the name and the arguments, and what stands before the first."""
        text = self.answered(self._probe([("nq", '{"kq": "vq"}')]) or "")
        for start, value in _values(text):
            for holder in _objects(value):
                name, arguments = _path(holder, "nq"), _path(holder, {"kq": "vq"})
                if name and arguments:
                    return name, arguments, text[:start].strip()
        return None

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """Finds a name whose arguments stand behind the match as JSON."""
        one = self.answered(self._probe([("nq", '{"kq": "vq"}')]) or "")
        for start, value in _values(one):
            before, separator, between = one[:start].rpartition("nq")
            if value == {"kq": "vq"} and separator:
                several = self.answered(self._probe([("mq", "{}"), ("nq", '{"kq": "vq"}')]) or "")
                earlier = several.rpartition("nq")[0]
                lead = common_start(before[::-1], earlier[::-1])[::-1] if "mq" in earlier else before
                ids = re.escape(str(PROBE_CALL[1]["tool_calls"][0]["id"]))
                return re.compile(_loose(lead) + _NAME + re.sub(ids, r"[^\\s<>\\[\\]]*", _loose(between)))
        return None

    def _inside(self, text: str) -> Iterator[ToolCall]:
        assert self._paths
        name_path, arguments_path, lead = self._paths
        for _, value in _values(text, text.find(lead) + len(lead) if lead in text else len(text)):
            for holder in _objects(value):
                name, arguments = _at(holder, name_path), _at(holder, arguments_path)
                if isinstance(name, str) and isinstance(arguments, dict | str):
                    yield ToolCall(name, read_arguments(arguments)[0])

    def _beside(self, text: str) -> Iterator[ToolCall]:
        assert self._pattern
        start = 0
        while (match := self._pattern.search(text, start)) is not None:
            start = match.end()
            with suppress(ValueError):
                arguments, start = _DECODER.raw_decode(text, start)
                if isinstance(arguments, dict):
                    yield ToolCall(match[1], arguments)

    def _probe(self, calls: list[tuple[str, str]]) -> str | None:
        """The turn that makes these calls, as the template writes it; None where it refuses them."""
        tool_calls = [
            {"id": f"callq{number:04d}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(calls, 1)
        ]
        try:
            return self.continuation(PROBE_CALL[:1], {**PROBE_CALL[1], "tool_calls": tool_calls}, [PROBE_TOOL])
        except Unrenderable:
            return None


def read_calls(tokenizer: Any, form: CallFormat, text: str, tools: list[Any] | None) -> list[ToolCall]:
    """The calls in a text of the model with its control tokens, by the tokenizer's own parser where it brings one."""
    if not getattr(tokenizer, "response_template", None):
        return form.read(text)
    try:
        message = tokenizer.parse_response(text, prefix="", tools=tools)
        return [read_call(call) for call in message.get("tool_calls") or ()]
    except Exception:  # a program of strangers over a text of a model
        return form.read(text)


def common_start(first: str, second: str) -> str:
    """The text with which both begin."""
    differ = (at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
    return first[: next(differ, min(len(first), len(second)))]


def _loose(text: str) -> str:
    """A pattern for the text with any white space where it has some, and at its ends."""
    parts = [re.escape(part) for part in text.split()]
    if not parts:
        return r"\s+" if text else ""
    return r"\s*" + r"\s*".join(parts) + r"\s*"


def _values(text: str, start: int = 0) -> Iterator[tuple[int, Any]]:
    """The outermost JSON objects and lists in a text, each with where it begins."""
    while (match := re.compile(r"[{\[]").search(text, start)) is not None:
        try:
            value, end = _DECODER.raw_decode(text, match.start())
        except ValueError:
            start = match.end()
            continue
        yield match.start(), value
        start = end


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a JSON value: itself, or those of a list."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            yield one


def _path(holder: Any, wanted: Any) -> Path | None:
    """The keys that lead to a value, which may stand there as JSON text."""
    if holder == wanted or (isinstance(wanted, dict) and holder == json.dumps(wanted)):
        return ()
    for key, inner in holder.items() if isinstance(holder, dict) else ():
        rest = _path(inner, wanted)
        if rest is not None:
            return (key, *rest)
    return None


def _at(holder: Any, path: Path) -> Any:
    for key in path:
        holder = holder.get(key) if isinstance(holder, dict) else None
    return holder
