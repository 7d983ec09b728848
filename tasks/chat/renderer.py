"""Dialogues to text by a tokenizer's chat template: one way, for training and for every evaluation of it.

A template is fed as it wants to be, which a few probe dialogues show: arguments of tool calls as objects or as the text
that OpenAI's form has, their ids as they are or in the form that it demands, a system prompt of its own or at the head
of the first user turn where the template refuses it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from tasks.bounds.limits import Bounds
from tasks.chat.environment import CachedToJson, read
from tasks.chat.forms import ANY_ID, SHORT_ID, in_parts, with_ids, with_objects, with_texts, written_length
from tasks.core.errors import ModelError
from tasks.models.private_transformers import compile_template, render_marked, with_one_name_for_reasoning
from tasks.rows.canonical import Message

TODAY = datetime(2025, 1, 1)
"""The day that templates get which write today's date: the same bytes every day."""

RENDERING = COMPILING = 5.0
"""Seconds of computing for a dialogue, and for the template itself; the usual ones take milliseconds."""

PROBING = 0.5
"""Seconds of computing for a dialogue of two words: there are some twenty of them, and then every row."""

LARGEST = 2**17
"""Characters of the longest template that is compiled; those of published models have up to some 30,000."""

SHORT, GROWTH = 10**6, 20
"""Characters that any dialogue may come out long, and how many for each that it has; beyond both a template grows."""

PROBE_DIALOGUE: list[Message] = [{"role": "user", "content": "aq"}, {"role": "assistant", "content": "bq"}]
PROBE_CALL: list[Message] = [
    {"role": "user", "content": "aq"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "callq0001", "type": "function", "function": {"name": "nq", "arguments": '{"kq": "vq"}'}},
        ],
    },
    {"role": "tool", "content": "rq", "tool_call_id": "callq0001", "name": "nq"},
    {"role": "assistant", "content": "bq"},
]
PROBE_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "nq",
        "description": "dq",
        "parameters": {"type": "object", "properties": {"kq": {"type": "string", "description": "dq"}}, "required": []},
    },
}


class Unrenderable(ModelError):
    """The chat template refuses a dialogue, or breaks on it; the message says how."""


class Endless(Unrenderable):
    """A dialogue takes the template too much time or memory, or comes out far too long: the template loops."""


class Renderer:
    """A tokenizer's chat template, and how it wants to be fed."""

    def __init__(self, tokenizer: Any) -> None:
        self.template: str = tokenizer.chat_template
        if len(self.template) > LARGEST:
            raise ModelError(
                f"the chat template is too large: {len(self.template):,} characters, at most {LARGEST:,} are "
                "allowed; set template.chat_template to the model's own one."
            )
        self._variables = dict(tokenizer.special_tokens_map)
        self._together = False
        self.takes_parts = False
        """Whether contents go in as lists of parts, for the template writes no plain texts."""
        try:
            with Bounds(COMPILING, lambda why: ModelError(f"the chat template is too large: {why} to compile it.")):
                self._compiled = compile_template(self.template)
        except ModelError:
            raise
        except Exception as error:  # jinja's own family, and what its lexer lets through
            line = getattr(error, "lineno", None)
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise ModelError(
                f"the chat template{f', line {line}' if line else ''}: not valid Jinja ({reason}); fix it, or name "
                "another one in template.chat_template."
            ) from None
        environment = self._compiled.environment
        environment.globals["strftime_now"] = self._compiled.globals["strftime_now"] = TODAY.strftime
        if not isinstance(environment.filters["tojson"], CachedToJson):
            environment.filters["tojson"] = CachedToJson(environment.filters["tojson"])
        self._all_variables = {**self._compiled.globals, **self._variables}
        environment.getattr = partial(read, environment, type(environment).getattr)
        self._to_json: CachedToJson = environment.filters["tojson"]
        if not self._writes_probe():
            self.takes_parts = True
            self.takes_parts = self._writes_probe()

    def render(
        self, messages: list[Message], tools: list[Any] | None = None, *, generation_prompt: bool = False
    ) -> str:
        """The text of a dialogue; with the generation prompt, that after which the model answers.

            Renderer(tokenizer).render([{"role": "user", "content": "hi"}], generation_prompt=True)
            # with ChatML: "<|im_start|>user\\nhi<|im_end|>\\n<|im_start|>assistant\\n"

        As `apply_chat_template` of transformers renders it, which makes everything anew for each call. Raises
        `Unrenderable`.
        """
        return self.render_adapted(self.adapt(messages), tools, generation_prompt=generation_prompt)

    def render_adapted(self, fed: list[Message], tools: list[Any] | None, *, generation_prompt: bool = False) -> str:
        """As `render`, of messages that were `adapt`ed."""
        return self._render(fed, tools, generation_prompt, RENDERING)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Bounds around several dialogues in the place of those around each, which take longer than a short one.

        Raises `Endless` where they take more than one dialogue may, without knowing which of them it was.
        """
        self._together = True
        try:
            with Bounds(RENDERING, _endless):
                yield
        finally:
            self._together = False

    def _render_probe(self, fed: list[Message], tools: list[Any] | None, generation_prompt: bool = False) -> str:
        return self._render(fed, tools, generation_prompt, PROBING)

    def _render(self, fed: list[Message], tools: list[Any] | None, generation_prompt: bool, seconds: float) -> str:
        self._to_json.keep(tools)
        with _errors(), nullcontext() if self._together else Bounds(seconds, _endless):
            variables = {
                **self._all_variables,
                "messages": in_parts(fed) if self.takes_parts else fed,
                "tools": tools or None,
                "documents": None,
                "add_generation_prompt": generation_prompt,
            }
            # as its method `render` does, which puts the same globals together for each dialogue
            context = self._compiled.new_context(variables, shared=True)
            text: str = "".join(self._compiled.root_render_func(context))
        if len(text) > SHORT and len(text) > GROWTH * written_length(fed, tools):
            raise _endless(f"its output is {len(text):,} characters long")
        return text

    def render_with_spans(self, fed: list[Message], tools: list[Any] | None) -> tuple[str, list[tuple[int, int]]]:
        """The text of a dialogue, and the characters of it that the template marks by `{% generation %}`."""
        with _errors(), Bounds(RENDERING, _endless):
            conversation = in_parts(fed) if self.takes_parts else fed
            text, spans = render_marked(self.template, conversation, tools or None, **self._variables)
        return text, [(start, end) for start, end in spans if start < end]

    def adapt(self, messages: list[Message]) -> list[Message]:
        """The messages in the form that the template takes, with one name for what a model thinks (as transformers)."""
        if not self.takes_system and messages and messages[0]["role"] == "system":
            system, *rest = messages
            if rest and rest[0]["role"] == "user":
                joined = f"{system['content']}\n\n{rest[0]['content']}"
                messages = [{**rest[0], "content": joined}, *rest[1:]]
        if any(message.get("tool_calls") for message in messages):
            form = with_objects if self.takes_objects else with_texts
            messages = [form(message) if message.get("tool_calls") else message for message in messages]
            messages = messages if self.takes_ids is None else with_ids(messages, self.takes_ids)
        return with_one_name_for_reasoning(messages)

    def probe(self) -> str:
        """A question and an answer, rendered; with a tool where the template cannot do without.

        Raises `Unrenderable` for a template that cannot render even that.
        """
        try:
            return self._render_probe(PROBE_DIALOGUE, None)
        except Unrenderable:
            return self._render_probe(PROBE_DIALOGUE, [PROBE_TOOL])

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template takes a system prompt; where it refuses one, the first user turn begins with it."""
        for tools in (None, [PROBE_TOOL]):
            with suppress(Unrenderable):
                self._render_probe(PROBE_DIALOGUE, tools)
                try:
                    self._render_probe([{"role": "system", "content": "sq"}, *PROBE_DIALOGUE], tools)
                except Unrenderable:
                    return False
                return True
        return True  # it renders nothing at all

    @cached_property
    def takes_objects(self) -> bool:
        """Whether arguments of tool calls go in as objects, the usual form of templates, or as text, OpenAI's.

        With the wrong one of the two a template breaks, or writes JSON within JSON, or Python's form of an object; a
        filter `safe` on the object makes jinja write all that stands beside it in the escapes of HTML.
        """
        try:
            text = self._render_probe([with_objects(message) for message in PROBE_CALL], [PROBE_TOOL])
            return not any(wrong in text for wrong in ("'kq'", "&#34;", "&#39;"))
        except Unrenderable:
            return False

    @cached_property
    def takes_ids(self) -> re.Pattern[str] | None:
        """The ids that calls and results must have, nine letters in Mistral's templates; None where none is needed."""
        form = with_objects if self.takes_objects else with_texts
        user, call, result, answer = [form(message) for message in PROBE_CALL]
        bare_result = {key: result[key] for key in result if key != "tool_call_id"}
        calls = call["tool_calls"]

        def renders(**call_id: str) -> bool:
            named = {**call, "tool_calls": [{key: calls[0][key] for key in ("type", "function")} | call_id]}
            answered = bare_result | ({"tool_call_id": call_id["id"]} if call_id else {})
            try:
                self._render_probe([user, named, answered, answer], [PROBE_TOOL])
            except Unrenderable:
                return False
            return True

        if renders() or not renders(id=calls[0]["id"]):
            return None
        return ANY_ID if renders(id="call_q") else SHORT_ID

    @cached_property
    def lacks_generation_prompt(self) -> bool:
        """Whether the head of an answer is left to the model: the template writes one and no generation prompt."""
        asked, whole = self._probe(PROBE_DIALOGUE[:1]), self._probe(PROBE_DIALOGUE)
        if (
            not asked
            or not whole
            or asked != self._probe(PROBE_DIALOGUE[:1], generation_prompt=True)
            or self.always_prompts
        ):
            return False
        return whole.startswith(asked) and bool(whole[len(asked) :].partition(PROBE_DIALOGUE[1]["content"])[0].strip())

    @cached_property
    def always_prompts(self) -> bool:
        """Whether a finished dialogue ends with a generation prompt too."""
        asked, whole, longer = (
            self._probe(messages)
            for messages in (PROBE_DIALOGUE[:1], PROBE_DIALOGUE, [*PROBE_DIALOGUE, *PROBE_DIALOGUE])
        )
        if not asked or not whole or not longer or asked != self._probe(PROBE_DIALOGUE[:1], generation_prompt=True):
            return False
        same = next((at for at, pair in enumerate(zip(whole, longer, strict=False)) if pair[0] != pair[1]), len(whole))
        return bool(whole[same:].strip()) and asked.endswith(whole[same:])

    @cached_property
    def default_system(self) -> str:
        """The system prompt that the template gives to dialogues without one, if any."""
        if not self.takes_system:
            return ""
        prompted, bare = (
            self._probe([{"role": "system", "content": "sq"}, *PROBE_DIALOGUE]),
            self._probe(PROBE_DIALOGUE),
        )
        before, separator, after = (prompted or "").partition("sq")
        if not separator or not bare or not bare.startswith(before):
            return ""
        behind = after.partition(PROBE_DIALOGUE[0]["content"])[0]
        written = bare.partition(PROBE_DIALOGUE[0]["content"])[0].removeprefix(before).removesuffix(behind).strip()
        return written if " " in written else ""

    def _writes_probe(self) -> bool:
        text = self._probe(PROBE_DIALOGUE) or ""
        return all(message["content"] in text for message in PROBE_DIALOGUE)

    def _probe(self, messages: list[Message], *, generation_prompt: bool = False) -> str | None:
        for tools in (None, [PROBE_TOOL]):
            try:
                return self._render_probe(messages, tools, generation_prompt)
            except Endless as error:
                raise ModelError(f"{error} It does so with a dialogue of two words; fix the template.") from None
            except Unrenderable:
                continue
        return None

    @cached_property
    def writes_date(self) -> bool:
        """Whether the template writes today's date."""
        return "strftime_now" in self.template


def _endless(why: str) -> Endless:
    return Endless(f"the chat template loops or grows without end: {why} to render one dialogue.")


class _errors:  # noqa: N801 - a context manager, read as a statement
    """Whatever a template raises comes as `Unrenderable`: templates are programs of strangers."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, Endless | MemoryError):  # which bounds see to
            message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise Unrenderable(f"the chat template cannot render the dialogue: {message}") from None
