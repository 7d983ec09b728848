"""Dialogues as token ids, a turn at a time: what the model wrote stays the ids that it wrote.

So nothing is tokenised twice: behind each turn of the model come the ids of the reply and of the head of its next turn,
as the chat template writes them behind a turn that is over.
"""

import copy
from dataclasses import dataclass
from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.chat.renderer import PROBE_CALL, PROBE_DIALOGUE, PROBE_TOOL, Renderer, Unrenderable
from tasks.chat.special_tokens import special_tokens, token_pattern
from tasks.core.errors import ModelError
from tasks.evaluate.call_format import CallFormat, read_calls
from tasks.rows.canonical import Message
from tasks.rows.tool_call import ToolCall

REMEDY = "choose a base whose chat template supports this, or set template.chat_template to one that does"


@dataclass(frozen=True)
class Answer:
    """A turn of the model."""

    text: str
    """Without its reasoning and control tokens."""
    calls: tuple[ToolCall, ...] = ()
    unread: bool = False
    """Whether it calls a tool in a way that cannot be read."""


class Turns:
    """A tokenizer's chat template, with the tools that the model is told of."""

    def __init__(self, tokenizer: Any, stop_ids: set[int], tools: list[dict[str, Any]]) -> None:
        """`stop_ids`: at which a turn ends; `tools`: definitions in OpenAI's form."""
        self._tokenizer, self.stop_ids, self._tools = tokenizer, stop_ids, tools or None
        self._renderer = Renderer(tokenizer)
        self._reader = ReasoningReader.for_template(self._renderer)
        self._format = CallFormat(self._renderer, self._reader)
        self._specials = token_pattern(special_tokens(tokenizer))
        self._parser = parser(tokenizer, self._format) if tools else tokenizer

    def prompt(self, messages: list[Message]) -> list[int]:
        """Ids of a dialogue up to where the model answers. Raises `Unrenderable`."""
        return self._ids(self._renderer.render(messages, self._tools, generation_prompt=True))

    def read(self, ids: list[int], prompt: list[int]) -> Answer:
        """What the model wrote behind the ids `prompt`, with or without the token that ends its turn."""
        written = ids[:-1] if ids and ids[-1] in self.stop_ids else ids
        opened = self._reader.opened_by(self._tokenizer.decode(prompt[-32:], skip_special_tokens=False))
        raw = self._reader.split(self._tokenizer.decode(written, skip_special_tokens=False), opened).answer
        if self._tools is None:
            return Answer(self.bare(raw))
        calls = tuple(read_calls(self._parser, self._format, raw, self._tools))
        return Answer(self.bare(raw), calls, not calls and self._format.calls(raw))

    def bare(self, text: str) -> str:
        """A text without control tokens, which would end a turn or begin one, and without halves of characters."""
        return self._specials.sub("", text.encode("utf-8", "replace").decode()).strip()

    def ended(self, ids: list[int]) -> bool:
        """Whether a turn of the model is over, and was not cut."""
        return bool(ids) and ids[-1] in self.stop_ids

    def replies(self, answer: Answer, texts: list[str]) -> list[int]:
        """Ids behind the end of the turn `answer`: results of its calls, or else one text of the user; and the head of
        the next turn of the model. Raises `Unrenderable`."""
        names = [self.bare(call.name) for call in answer.calls]
        idents = [f"call{number:05d}" for number in range(1, len(answer.calls) + 1)]
        calls = [
            {"id": ident, "type": "function", "function": {"name": name, "arguments": "{}"}}
            for ident, name in zip(idents, names, strict=True)
        ]
        turn: Message = {"role": "assistant", "content": "" if calls else PROBE_DIALOGUE[1]["content"]}
        after: list[Message] = [{"role": "user", "content": self.bare(text)} for text in texts]
        if calls:
            turn["tool_calls"] = calls
            after = [
                {"role": "tool", "name": name, "tool_call_id": ident, "content": self.bare(text)}
                for name, ident, text in zip(names, idents, texts, strict=True)
            ]
        try:
            return self._behind(turn, after, None)
        except Unrenderable:
            return self._behind(turn, after, self._tools)

    def check(self, *, steps: bool) -> None:
        """Raise `ModelError` where the template cannot write what episodes need. `steps`: whether users reply."""
        if steps:
            self._check_reply(Answer("bq"), "a user turn after an assistant turn")
        if self._tools is None:
            return
        try:
            rendered = self._renderer.render(PROBE_DIALOGUE[:1], [PROBE_TOOL], generation_prompt=True)
            text = self._format.continuation(PROBE_CALL[:1], PROBE_CALL[1], [PROBE_TOOL])
        except Unrenderable as error:
            raise ModelError(f"align.episodes.tools: {error}; {REMEDY}.") from None
        if "nq" not in rendered or "dq" not in rendered:
            raise ModelError(f"align.episodes.tools: the chat template does not show tools to the model; {REMEDY}.")
        if not reads(self._parser, self._format, text):
            raise ModelError(
                f"align.episodes.tools: tool calls in the chat template's format cannot be parsed; {REMEDY}."
            )
        self._check_reply(Answer("", (ToolCall("nq", {}),)), "results of tools")

    def _check_reply(self, answer: Answer, what: str) -> None:
        try:
            text = self._tokenizer.decode(self.replies(answer, ["zqz"]))
        except Unrenderable as error:
            raise ModelError(f"align.episodes: {error}; {REMEDY}.") from None
        if "zqz" not in "".join(text.split()):
            raise ModelError(f"align.episodes: the chat template does not write {what}; {REMEDY}.")

    def _behind(self, turn: Message, after: list[Message], tools: list[Any] | None) -> list[int]:
        before: list[Message] = [PROBE_DIALOGUE[0], turn]
        short = self._ids(self._renderer.render(before, tools))
        ends = [at for at, token in enumerate(short) if token in self.stop_ids]
        if not ends or self._tokenizer.decode(short[ends[-1] + 1 :], skip_special_tokens=False).strip():
            raise Unrenderable("the chat template does not end an assistant turn with a token that stops generation")
        whole = self._ids(self._renderer.render([*before, *after], tools, generation_prompt=True))
        # counted, for a template may write an earlier turn otherwise than the last one
        same = [at for at, token in enumerate(whole) if token in self.stop_ids]
        if len(same) < len(ends):
            raise Unrenderable("the chat template ends an assistant turn differently once other messages follow it")
        return whole[same[len(ends) - 1] + 1 :]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def parser(tokenizer: Any, form: CallFormat) -> Any:
    """What reads the calls of a model by `read_calls`: `tokenizer`, or a copy of it with trl's parser of its template,
    where the calls that the template writes are no JSON."""
    try:
        text = form.continuation(PROBE_CALL[:1], PROBE_CALL[1], [PROBE_TOOL])
    except Unrenderable:
        return tokenizer
    if reads(tokenizer, form, text):
        return tokenizer
    from trl.chat_template_utils import add_response_schema

    try:
        return add_response_schema(copy.copy(tokenizer))
    except ValueError:  # it knows the template no better
        return tokenizer


def reads(tokenizer: Any, form: CallFormat, text: str) -> bool:
    """Whether the call of `PROBE_CALL` is read in what the template wrote of it."""
    calls = read_calls(tokenizer, form, text, [PROBE_TOOL])
    return [call.key for call in calls] == [ToolCall("nq", {"kq": "vq"}).key]
