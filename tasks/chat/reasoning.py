"""What a model thinks, told apart from what it answers: by the markers that the chat template writes around it.

Training, evaluation and teachers split by the same rule, so that a reference and a generated answer are compared in the
same form. Reasoning is what stands at the head of a turn between markers. The prompt may have opened it already, or the
text may show its end alone; reasoning that does not end leaves no answer.

    reader = ReasoningReader.of(tokenizer)
    reader.split("<think>two and two</think>4")  # Split(reasoning="two and two", answer="4", ended=True)
"""

import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tasks.chat.renderer import PROBE_TOOL, Renderer, Unrenderable
from tasks.rows.canonical import Message


@dataclass(frozen=True)
class Markers:
    """What a template writes around reasoning."""

    start: str
    end: str
    heads: tuple[str, ...] = ()
    """What may stand before an answer, such as the name of its channel, and is none of it."""
    alone: bool = True
    """Whether `end` ends nothing but reasoning, so that a text in which it stands without `start` began with some."""


THINK = Markers("<think>", "</think>")

KNOWN = (
    THINK,
    Markers(
        "<|channel|>analysis<|message|>",
        "<|end|>",
        ("<|start|>assistant", "<|channel|>final<|message|>", "<|channel|>commentary<|message|>"),
        alone=False,
    ),  # gpt-oss
    Markers("<|channel>thought", "<channel|>"),  # Gemma 4
    Markers("[THINK]", "[/THINK]"),  # Mistral
    Markers("<|START_THINKING|>", "<|END_THINKING|>", ("<|START_RESPONSE|>",)),  # Cohere
    Markers("<seed:think>", "</seed:think>"),
    Markers("\u25c1think\u25b7", "\u25c1/think\u25b7"),  # Kimi
    Markers("<|begin_of_thought|>", "<|end_of_thought|>"),
    Markers("<thinking>", "</thinking>"),
    Markers("<thought>", "</thought>"),
)
"""Markers of published models."""

QUESTION, THOUGHT, ANSWER = "questionq", "thoughtq", "answerq"
"""Texts of the probe, which no template writes by itself."""

_PIECE = r"(?:<[^<>\s]+>|\[/?[A-Z_]+\]|\u25c1[^\u25c1\u25b7\s]+\u25b7)"
_FIRST, _LAST = re.compile(_PIECE), re.compile(rf"{_PIECE}$")
_QUOTES = frozenset("`'\"\u201c\u201d\u2018\u2019")
_BLANK_LINES = re.compile(r"(?:[^\S\n]*\n)+")


class Split(NamedTuple):
    """A turn of a model in its two parts."""

    reasoning: str
    answer: str
    ended: bool = True
    """Whether the reasoning, if there is any, came to its end."""


class ReasoningReader:
    """Splits turns by any of its markers."""

    def __init__(self, markers: tuple[Markers, ...] = KNOWN) -> None:
        self.markers = markers
        marks = {mark for one in markers for mark in (one.start, one.end, *one.heads)}
        self._markers = re.compile("|".join(map(re.escape, sorted(marks))))

    @classmethod
    def of(cls, tokenizer: Any) -> "ReasoningReader":
        """For the markers of a tokenizer's chat template, and `<think>`, which data bring along."""
        return cls.for_template(Renderer(tokenizer)) if tokenizer.chat_template else cls((THINK,))

    @classmethod
    def for_template(cls, renderer: Renderer) -> "ReasoningReader":
        """For the markers that the template writes, and those that it looks for in contents."""
        written = template_markers(renderer)
        named = [one for one in KNOWN if one.start in renderer.template or (one.alone and one.end in renderer.template)]
        markers = [one for one in (written, *named, THINK) if one]
        return cls(tuple({one.start: one for one in reversed(markers)}.values())[::-1])

    def opened_by(self, prompt: str) -> Markers | None:
        """The markers of the reasoning that a prompt ends in, for the model to go on with."""
        end = prompt.rstrip()
        return next((markers for markers in self.markers if end.endswith(markers.start)), None)

    def split(self, text: str, opened: Markers | None = None) -> Split:
        """Reasoning and answer of a turn. `opened`: the markers of reasoning that its prompt opened (`opened_by`).

        A text without reasoning is its answer as it stands. Space between the two belongs to neither; the indentation
        of a first line stays.
        """
        if not opened and not self._markers.search(text):
            return Split("", text)
        thoughts: list[str] = []
        rest = text if opened else self._without_heads(text)
        while markers := (opened if opened and not thoughts else self._leading(rest)):
            rest = rest.lstrip().removeprefix(markers.start)  # models may write again what the prompt has opened
            thought, end, rest = rest.partition(markers.end)
            thoughts.append(thought.strip())
            if not end:
                return Split(_joined(thoughts), "", ended=False)
            rest = self._without_heads(rest)
        if not thoughts and (alone := self._ended_alone(text)):
            thought, _, rest = text.partition(alone.end)
            return Split(thought.strip(), _without_gap(self._without_heads(rest)))
        return Split(_joined(thoughts), _without_gap(rest)) if thoughts else Split("", rest)

    def of_message(self, message: Message) -> Split:
        """Reasoning and answer of an assistant's message, its reasoning in a field or at the head of content."""
        content = message.get("content")
        split = self.split(content if isinstance(content, str) else "")
        own = own_reasoning(message)
        return Split(own.strip(), split.answer if split.reasoning == own.strip() else content or "") if own else split

    def _leading(self, text: str) -> Markers | None:
        head = text.lstrip()
        return next((markers for markers in self.markers if head.startswith(markers.start)), None)

    def _ended_alone(self, text: str) -> Markers | None:
        for markers in self.markers:
            before, end, after = text.partition(markers.end)
            around = before[-1:] + after[:1]
            quoted = around == "  " or not _QUOTES.isdisjoint(around)
            if markers.alone and end and markers.start not in before and not quoted:
                return markers
        return None

    def _without_heads(self, text: str) -> str:
        heads = [head for markers in self.markers for head in markers.heads]
        while head := next((head for head in heads if text.lstrip().startswith(head)), None):
            text = text.lstrip().removeprefix(head)
        return text


def own_reasoning(message: Message) -> str:
    """The reasoning that stands in a field of its own, under any of its names."""
    values = (message.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
    return next((value for value in values if isinstance(value, str) and value), "")


def template_markers(renderer: Renderer) -> Markers | None:
    """What a template writes around reasoning that a message has in a field of its own; None where it writes none."""
    question = {"role": "user", "content": QUESTION}
    answer = {"role": "assistant", "content": ANSWER}
    try:
        prompt = _render(renderer, question, prompt=True)
        plain = _render(renderer, question, answer)
        text = _render(renderer, question, {**answer, "reasoning_content": THOUGHT})
    except Unrenderable:
        return None
    before, thought, rest = text.partition(THOUGHT)
    between, answered, _ = rest.partition(ANSWER)
    if not thought or not answered or not between.strip():
        return None
    opened = before.rstrip()
    own = before[_shared(before, prompt) :].strip()
    last = _LAST.search(opened)
    start = own or (last.group() if last else "")
    first = _FIRST.match(between.strip())
    end = first.group() if first else between.strip()
    if not start:
        return None
    heads = {between.strip().removeprefix(end).strip(), plain[_shared(plain, prompt) :].partition(ANSWER)[0].strip()}
    heads = {head for head in heads if head and start not in head and end not in head}
    known = next((markers for markers in KNOWN if markers.start == start and markers.end == end), None)
    if known:
        return replace(known, heads=tuple(sorted({*known.heads, *heads}, key=len, reverse=True)))
    paired = end.replace("/", "", 1) == start
    return Markers(start, end, tuple(sorted(heads, key=len, reverse=True)), alone=paired)


def reasoning_kept(renderer: Renderer) -> str:
    """Where the template writes reasoning that a message has in a field of its own.

    `every turn`; `last turn`, where it drops that of turns which others follow; `content`, where it has to stand at the
    head of content; `nowhere`, where the template cuts it out of content too.
    """
    question = {"role": "user", "content": QUESTION}
    turns = [{"role": "assistant", "content": f"{ANSWER}{number}"} for number in (1, 2)]
    thoughts = [f"{THOUGHT}{number}" for number in (1, 2)]
    apart = [{**turn, "reasoning_content": thought} for turn, thought in zip(turns, thoughts, strict=True)]
    try:
        text = _render(renderer, question, apart[0], question, apart[1])
        if thoughts[1] in text:
            return "every turn" if thoughts[0] in text else "last turn"
        inline = f"{THINK.start}\n{THOUGHT}\n{THINK.end}\n\n{ANSWER}"
        return "content" if THOUGHT in _render(renderer, question, {**turns[0], "content": inline}) else "nowhere"
    except Unrenderable:
        return "nowhere"


def _render(renderer: Renderer, *messages: Message, prompt: bool = False) -> str:
    """A probe, with a tool where the template cannot do without. Raises `Unrenderable`."""
    try:
        return renderer.render([*messages], generation_prompt=prompt)
    except Unrenderable:
        return renderer.render([*messages], [PROBE_TOOL], generation_prompt=prompt)


def _shared(text: str, other: str) -> int:
    """Characters with which both begin."""
    differ = (at for at, pair in enumerate(zip(text, other, strict=False)) if pair[0] != pair[1])
    return next(differ, min(len(text), len(other)))


def _joined(thoughts: list[str]) -> str:
    return "\n\n".join(thought for thought in thoughts if thought)


def _without_gap(answer: str) -> str:
    lines = _BLANK_LINES.match(answer)
    return answer[lines.end() :] if lines else answer.lstrip()
