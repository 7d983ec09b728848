"""What a model writes, split as it comes into reasoning, answer and calls of tools, by the rules of the evaluation.

Text that may turn out to be something else is held back until that is known: the start of a marker, of a special token,
of a stop string, of a call.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.chat.renderer import Renderer
from tasks.chat.special_tokens import special_tokens, token_pattern
from tasks.evaluate.call_format import CallFormat
from tasks.evaluate.calls import CallReader
from tasks.evaluate.engine import Answer
from tasks.evaluate.stops import cut_at_stop
from tasks.serve.prompts import Prompt

_LEAD = re.compile(r"\s*(<[^<>\s]+>|\[[A-Z_]+\]|\S)")


@dataclass
class Fields:
    """The parts of an answer, or of what came of it since the last ones."""

    reasoning: str = ""
    content: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    """In OpenAI's form, without ids."""

    def __bool__(self) -> bool:
        return bool(self.reasoning or self.content or self.calls)


class FieldReader:
    """Reads the answers of one model."""

    def __init__(self, tokenizer: Any, renderer: Renderer, reader: ReasoningReader) -> None:
        self.reader, self._calls = reader, CallReader(tokenizer, reader)
        self._format = CallFormat(renderer, reader)
        specials = special_tokens(tokenizer)
        self.specials = [*specials]
        self._pattern = token_pattern(specials)
        self.heads = [text for markers in reader.markers for text in (markers.start, *markers.heads)]

    def plain(self, text: str) -> str:
        """A text without special tokens."""
        return self._pattern.sub("", text)

    def opening(self, tools: list[Any]) -> str:
        """What a call begins with, its first tag or bracket; "" without tools, or where the template writes no calls.

        Not more of it, as models space what follows in other ways, and order it in other ways.
        """
        start = _LEAD.match(self._format.opening) if tools else None
        return start[1] if start else ""

    def calls(self, raw: str, tools: list[Any]) -> list[dict[str, Any]]:
        """The calls in an answer with its special tokens."""
        if not tools:
            return []
        row = {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
               "tools": json.dumps(tools)}  # fmt: skip
        return list(self._calls.facts(row, Answer(raw, 0, "stop", raw=raw))["answer_calls"])


class Stream:
    """One answer as it comes. `feed` and `end` give what is new of it and certain."""

    def __init__(self, reader: FieldReader, prompt: Prompt) -> None:
        self._reader, self._prompt = reader, prompt
        self._opening = reader.opening(prompt.tools)
        self._raw, self._given = "", Fields()
        self.stopped = False
        """Whether a stop string stands in the answer: nothing more is wanted."""

    def feed(self, text: str) -> Fields:
        """The parts that `text` makes certain."""
        if self.stopped:
            return Fields()
        self._raw += text
        reasoning, answer, ended = self._split()
        if not ended:
            return self._new(_held(reasoning, [self._markers_end()]).rstrip(), "")
        if self._may_be_head(answer):
            return Fields()
        watched = [*self._reader.specials, *self._prompt.stops]
        if self._opening:
            before, _, _ = answer.partition(self._opening)
            return self._new(reasoning, self._reader.plain(_held(before, [*watched, self._opening])).rstrip())
        return self._new(reasoning, self._reader.plain(_held(answer, watched)))

    def end(self) -> Fields:
        """What is left, with the calls."""
        reasoning, answer, ended = self._split()
        if not ended:
            return self._new(reasoning, "", last=True)
        calls = self._reader.calls(answer, self._prompt.tools)
        if calls and self._opening:
            answer = answer.partition(self._opening)[0]
        content = self._reader.plain(answer)
        new = self._new(reasoning, content.rstrip() if calls else content, last=True)
        new.calls = calls
        return new

    def whole(self) -> Fields:
        """All parts of what came, whatever was given of them."""
        self._given = Fields()
        return self.end()

    def _split(self) -> tuple[str, str, bool]:
        cut = cut_at_stop(self._raw, self._prompt.stops, self._reader.reader, self._prompt.opened)
        self.stopped = cut != self._raw
        split = self._reader.reader.split(cut, self._prompt.opened)
        return self._reader.plain(split.reasoning), split.answer, split.ended

    def _new(self, reasoning: str, content: str, last: bool = False) -> Fields:
        """What goes beyond what was given.

        Reasoning of which the text shows the end alone was given as content; the answer follows it, as the `last` part.
        """
        new = Fields(_beyond(self._given.reasoning, reasoning, last), _beyond(self._given.content, content, last))
        self._given.reasoning += new.reasoning
        self._given.content += new.content
        return new

    def _may_be_head(self, answer: str) -> bool:
        """Whether all that came, or all of the answer, may still be the start of a marker; or there is no answer."""
        heads = {answer.lstrip(), *([] if self._prompt.opened else [self._raw.lstrip()])}
        return not answer or any(text.startswith(head) for text in self._reader.heads for head in heads)

    def _markers_end(self) -> str:
        markers = self._prompt.opened or next(
            (one for one in self._reader.reader.markers if self._raw.lstrip().startswith(one.start)), None
        )
        return markers.end if markers else ""


def _held(text: str, watched: list[str]) -> str:
    """`text` without the longest end with which one of `watched` may begin."""
    longest = max(map(len, watched), default=0)
    may_begin: Callable[[str], bool] = lambda end: any(one.startswith(end) for one in watched)  # noqa: E731
    starts = range(max(0, len(text) - longest), len(text))
    return text[: next((start for start in starts if may_begin(text[start:])), len(text))]


def _beyond(given: str, whole: str, last: bool) -> str:
    return whole[len(given) :] if whole.startswith(given) else whole if last else ""
