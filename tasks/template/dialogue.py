"""A dialogue on its way to tokens: its text, where it is trained, and what is wrong before a token is counted."""

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from tasks.chat.environment import MOST_TOOLS
from tasks.chat.reasoning import ReasoningReader
from tasks.chat.renderer import Renderer, Unrenderable
from tasks.rows.canonical import Message
from tasks.template.argument_controls import own_controls
from tasks.template.markers import Marked, TurnEnds, mark
from tasks.template.markup import FittedMarkup, Markup, fit
from tasks.template.markup_search import row_markup, shared_markup
from tasks.template.offsets import Span
from tasks.template.prompts import Prompts, cache_key
from tasks.template.reasoning import ReasoningAudit, trained_texts
from tasks.template.settings import Trained
from tasks.template.structure import Structure, structure
from tasks.template.turn_keys import is_lost_thought, unwritten
from tasks.template.unslotted_text import count_lost_arguments, count_unpaired_thinks

MOST = 20_000
"""Markups that are kept."""

SAMPLED = 64
"""One row in so many is rendered turn by turn as well, to see that its markup tells the truth about it."""

_LITERAL = re.compile(r"""['"](?=(?:\w|[^\S\n])*+[^\w\s'"])([^'"\n]*+)['"]""")
"""A quoted text with a character that is neither of a word nor blank. Nothing is tried twice: who wrote the template
decides how long it is."""


class RenderedDialogue(NamedTuple):
    """A dialogue as text."""

    text: str
    turns: tuple[Span, ...]
    """Characters of each trained turn, from where the model takes over to behind its end."""
    prompts: tuple[tuple[int, str | None], ...]
    """Of turns whose prompt is what stands before them: the character at which the model takes over, and what the
    template wrote there from the last control token on; None where that is not all of its own."""
    own: tuple[Span, ...]
    """Characters that the template itself wrote, and no row."""
    spoken: tuple[Span, ...]
    """Characters of texts of the assistant, and of system prompts: tags, such as <think>, are meant there."""
    problems: Counter[str]
    """Slugs of what is wrong, and of what is noted."""
    muted: tuple[Span, ...]
    """Characters without a loss in a dialogue of which every token is trained else: turns of weight 0."""
    missing: str | None
    """The first of the texts that the template leaves out: which field of whose turn."""
    reasoning: Counter[str]
    """Trained turns with reasoning, by what became of it; see `ReasoningAudit`."""
    unread: str | None
    """The first of the other keys of turns that have no effect: which key of whose turn."""


class Kept(Protocol):
    """Markups by messages with markers and by tools, as bytes and as text."""

    def get(self, messages: bytes, tools: str) -> Markup | None:
        """The markup that was kept for them; None where none was."""

    def put(self, messages: bytes, tools: str, markup: Markup) -> None:
        """Keep the markup for them."""


class DialogueRenderer:
    """Renders dialogues and finds their trained turns; see `shared_markup` for how."""

    def __init__(self, renderer: Renderer, ends: TurnEnds, train_on: Trained) -> None:
        self.renderer = renderer
        self._ends = ends
        self._train_on = train_on
        self._prompts = Prompts(renderer)
        self._reasoning = ReasoningAudit(ReasoningReader.for_template(renderer))
        self._known: dict[tuple[bytes, str], Markup] = {}
        self.kept: Kept | None = None
        """Markups of other runs with the same template and control tokens."""
        self._taken: dict[int, tuple[list[Any] | None, str, bool]] = {}
        self._tools_key = "null"
        self._tools_quote = False
        literals = {text for text in _LITERAL.findall(renderer.template) if len(text) > 2}
        literals -= {text for text in literals if "\\n" in text}
        self._looked_for = re.compile("|".join(map(re.escape, sorted(literals, key=len, reverse=True))) or r"(?!)")

    def stop_at(self, tokens: frozenset[str]) -> None:
        """Take these for the control tokens at which generation stops."""
        if tokens != self._ends.stops:
            self._ends = replace(self._ends, stops=tokens)
            self._known.clear()
            self.kept = None

    def render(
        self, messages: list[Message], tools: list[Any] | None = None, completion: int | None = None
    ) -> RenderedDialogue:
        """The dialogue as text; turns are trained from the message `completion` on, or as the settings say.

        Raises `Unrenderable`.
        """
        weights = [message.get("weight") for message in messages]
        if any("weight" in message for message in messages):
            messages = [{key: kept for key, kept in message.items() if key != "weight"} for message in messages]
        messages = self.renderer.adapt(messages)
        if len(messages) < len(weights):  # the system prompt went into the first user turn
            weights = weights[1:]
            completion = None if completion is None else completion - 1
        fitted, text, markup, texts = self._fit(messages, tools)
        built = self._structure(markup, messages, weights, completion)
        trained, wanted = built.trained, built.wanted
        problems = Counter(built.problems) if built.problems else Counter()
        spans = [(fitted.character(turn.start), fitted.character(turn.end)) for turn in trained]
        with_loss = trained_texts(trained, spans, text)
        reasoning = self._reasoning.fates(messages, wanted, with_loss)
        missing = None
        for slot in markup.missing:
            if self._reasoning.is_reshaped(slot, messages[slot.message], with_loss.get(slot.message, "")):
                problems["trimmed"] += 1
                continue
            problems["history" if _is_history(slot.message, messages, wanted) else "coverage"] += 1
            missing = missing or self._reasoning.describe(slot, messages[slot.message], reasoning)
        for number in fitted.trimmed:
            slot = markup.slots[number]
            indented = slot.field == "content" and slot.message in wanted and texts[number][:1].isspace()
            problems["indentation" if indented else "trimmed"] += 1
        if not markup.tools:
            problems["coverage"] += 1
            missing = missing or "the tools"
        unread = None
        for number, key in unwritten(self.renderer, messages, tools, text) if built.keyed else ():
            name, role = f"{key} of the {messages[number]['role']}", messages[number]["role"]
            if is_lost_thought(key, messages[number][key], text):
                problems["history" if role == "assistant" and number not in wanted else "coverage"] += 1
                missing = missing or name
            else:
                problems["unread_key"] += 1
                unread = unread or name
        if not all(name in text for name in built.called):
            problems["coverage"] += 1
            missing = missing or "the name of a call"
        if self._tools_quote:
            problems["scaffold"] += 1
        if self.renderer.lacks_generation_prompt:
            problems["generation_prompt"] += 1
        if markup.arguments and (lost := count_lost_arguments(markup, fitted, text, texts)):
            problems["coverage"] += lost
        if unpaired := count_unpaired_thinks(messages):
            problems["think"] += unpaired
        prompts = tuple((span[0], turn.tail) for turn, span in zip(trained, spans, strict=True) if turn.prefix)
        starts = fitted.starts
        muted: tuple[Span, ...] = ()
        if self._train_on == "all" and completion is None:
            spans, muted = [(0, len(text))], _muted(markup, fitted, weights)
        written = [(starts[number], starts[number + 1]) for number in markup.written]
        if markup.arguments:
            written = sorted([*written, *own_controls(markup, fitted, text, texts, self._ends.any_control)])
        spoken = tuple([(starts[number], starts[number + 1]) for number in built.spoken])
        fates = Counter(reasoning.values()) if reasoning else Counter()
        unread = unread or built.unread
        return RenderedDialogue(
            text, tuple(spans), prompts, tuple(written), spoken, problems, muted, missing, fates, unread
        )

    def prompt(self, messages: list[Message], tools: list[Any] | None = None) -> str:
        """The text after which the model answers."""
        return self.renderer.render(messages, tools, generation_prompt=True)

    def _fit(self, messages: list[Message], tools: list[Any] | None) -> tuple[FittedMarkup, str, Markup, list[str]]:
        marked_dialogue = mark(messages)
        self._take(tools)
        text = self.renderer.render_adapted(messages, tools)
        if not any(self._looked_for.search(own_text) for own_text in marked_dialogue.texts):
            known = self._shared_markup(marked_dialogue, tools)
            fitted = fit(known, text, marked_dialogue.texts) if known else None
            sampled = crc32(text.encode("utf-8", "surrogatepass")) % SAMPLED == 0  # by itself, whatever came before
            if known and fitted and (not sampled or self._agrees(known, fitted, messages, tools, text)):
                return fitted, text, known, marked_dialogue.texts
        markup, fitted = row_markup(self.renderer, messages, marked_dialogue, tools, self._ends, self._prompts, text)
        return fitted, text, markup, marked_dialogue.texts

    def _take(self, tools: list[Any] | None) -> None:
        """Note the tools of the row, and whether they quote a control token: no markup has a slot for them."""
        known = self._taken.get(id(tools))
        if known is None or known[0] is not tools:
            if len(self._taken) > MOST_TOOLS:
                self._taken.clear()
            key = json.dumps(tools, sort_keys=True, ensure_ascii=False)
            known = self._taken[id(tools)] = tools, key, bool(self._ends.any_control.search(key))
        _, self._tools_key, self._tools_quote = known

    def _shared_markup(self, marked_dialogue: Marked, tools: list[Any] | None) -> Markup | None:
        """The markup of dialogues built like this: all but their texts is the same, and their tools are."""
        built = cache_key(marked_dialogue.messages), self._tools_key
        if built not in self._known:
            if len(self._known) > MOST:
                self._known.clear()
            markup = self.kept.get(*built) if self.kept else None
            if markup is None:
                try:
                    markup = shared_markup(self.renderer, marked_dialogue, tools, self._ends, self._prompts)
                except Unrenderable:
                    return None
                if self.kept:
                    self.kept.put(*built, markup)
            self._known[built] = markup
        return self._known[built]

    def _agrees(
        self, markup: Markup, fitted: FittedMarkup, messages: list[Message], tools: list[Any] | None, text: str
    ) -> bool:
        """Whether each turn that the markup says follows its prompt does so in this row, rendered turn by turn."""
        for turn in markup.turns:
            if turn.prefix:
                try:
                    before = self.renderer.render_adapted(messages[: turn.message], tools, generation_prompt=True)
                except Unrenderable:
                    return False
                if text[: fitted.character(turn.start)] != before:
                    return False
        return True

    def _structure(
        self, markup: Markup, messages: list[Message], weights: list[Any], completion: int | None
    ) -> Structure:
        key = (*weights, completion)
        known: Structure | None = markup.structures.get(key)
        if known is None:
            controls = self._ends.any_control
            known = markup.structures[key] = structure(markup, messages, weights, completion, self._train_on, controls)
        return known


def _muted(markup: Markup, fitted: FittedMarkup, weights: list[Any]) -> tuple[Span, ...]:
    """Turns of the assistant with the weight 0, stop token included, and the texts of others that have it."""
    answers = {turn.message: (fitted.character(turn.start), fitted.character(turn.end)) for turn in markup.turns}
    texts = [
        (fitted.starts[number], fitted.starts[number + 1])
        for number, message in markup.of_messages
        if weights[message] == 0 and message not in answers
    ]
    return tuple(sorted([*texts, *(span for message, span in answers.items() if weights[message] == 0)]))


def _is_history(number: int, messages: list[Message], wanted: tuple[int, ...]) -> bool:
    """Whether a message is an untrained turn, or a tool's result in an exchange before the first trained one."""
    role = messages[number]["role"]
    if role != "tool":
        return role == "assistant" and number not in wanted
    return bool(wanted) and any(message["role"] == "user" for message in messages[number : wanted[0]])
