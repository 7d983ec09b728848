"""What a chat template writes around the texts of a dialogue, found once for all dialogues built alike.

A dialogue is rendered with a marker in the place of every text that a row brings: that shows which texts the template
writes and where, what stands between them, and where each turn of the assistant begins and ends. A row built alike
(same roles, same fields, same tools) must then be the same scaffold with its own texts in it, character for character,
which costs one rendering a row instead of one a turn. A row for which that does not hold, for templates may look into
texts, gets a skeleton of its own.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasks.contract.rows import Message
from tasks.template.markers import Ends, Marked, Slot, Spot, found, only
from tasks.template.prompts import Prompts
from tasks.template.renderer import Renderer, Unrenderable

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""The mark of generated text in a chat template (transformers, `return_assistant_tokens_mask`)."""


Place = tuple[int, int]
"""A part of a skeleton, and a character in it."""


@dataclass(frozen=True)
class Turn:
    """A turn of the assistant, from where the model takes over to behind the control token that ends it."""

    message: int
    start: Place
    end: Place
    prefix: bool
    """Whether the prompt after which the model would write this turn is exactly what stands before it."""
    ended: bool
    """Whether a control token ends it."""
    tail: str | None
    """What the template writes from the last control token before the turn on; None where a text stands between."""


@dataclass(frozen=True)
class Skeleton:
    """The scaffold: texts of the template (str) and slots of the row (int, numbers into `slots`) in turn."""

    parts: tuple[str | int, ...]
    slots: tuple[Slot, ...]
    turns: tuple[Turn, ...]
    altered: frozenset[int] = frozenset()
    """Slots whose text stands there in another form: cut, or rewritten."""
    tools: bool = True
    """Whether the template writes the names of all the tools."""

    @cached_property
    def twice(self) -> frozenset[int]:
        """Messages that the template writes a text of more than once; ids of calls aside."""
        there = Counter(part for part in self.parts if isinstance(part, int) and self.slots[part].field != "id")
        return frozenset(self.slots[number].message for number, count in there.items() if count > 1)

    @cached_property
    def written(self) -> tuple[int, ...]:
        """Parts that the template writes."""
        return tuple(number for number, part in enumerate(self.parts) if isinstance(part, str))

    @cached_property
    def of_messages(self) -> tuple[tuple[int, int], ...]:
        """Parts that the row brings, each with its message."""
        return tuple((n, self.slots[part].message) for n, part in enumerate(self.parts) if isinstance(part, int))

    @cached_property
    def arguments(self) -> tuple[tuple[int, int], ...]:
        """Parts that are arguments of calls, each with its slot."""
        fields = [(n, part) for n, part in enumerate(self.parts) if isinstance(part, int)]
        return tuple((number, slot) for number, slot in fields if self.slots[slot].field == "arguments")

    @cached_property
    def missing(self) -> tuple[Slot, ...]:
        """Texts that the template leaves out or changes; ids of calls are none."""
        there = {part for part in self.parts if isinstance(part, int)} - self.altered
        return tuple(slot for number, slot in enumerate(self.slots) if number not in there and slot.field != "id")


@dataclass(frozen=True)
class Fitted:
    """A row in its skeleton."""

    starts: tuple[int, ...]
    """Character of the text at which each part starts, and the end of the last."""
    trimmed: tuple[int, ...] = ()
    """Slots that lost space at their edges."""

    def place(self, at: Place) -> int:
        """The character of the text at a place of the skeleton."""
        return self.starts[at[0]] + at[1]


def skeleton(renderer: Renderer, given: Marked, tools: list[Any] | None, ends: Ends, prompts: Prompts) -> Skeleton:
    """The skeleton of all dialogues built like this one. Raises `Unrenderable`."""
    text = renderer.rendered(given.messages, tools)
    return _assembled(
        renderer, given.messages, tools, ends, prompts, text, given.slots, found(text, given.slots, ends.pattern)
    )


def own(
    renderer: Renderer,
    messages: list[Message],
    given: Marked,
    tools: list[Any] | None,
    ends: Ends,
    prompts: Prompts,
    text: str,
) -> tuple[Skeleton, Fitted]:
    """The skeleton of this very row: where each text stands shows when it alone is replaced by a marker."""
    places: list[Spot] = []
    altered = set()
    for number, slot in enumerate(given.slots):
        if slot.field == "id":
            continue
        alone = [*messages[: slot.message], only(given, messages, number), *messages[slot.message + 1 :]]
        try:
            around = renderer.rendered(alone, tools)
        except Unrenderable:
            continue
        mine = [spot for spot in found(around, given.slots, ends.pattern) if spot[2] == number]
        # one of them, for texts of the row may quote the marker; or all, where the template writes a text twice
        for first, last in [(spots[0][0], spots[-1][1]) for spots in (*([spot] for spot in mine), mine) if spots]:
            before, after = around[:first], around[last:]
            if not text.startswith(before):  # numbers, as some templates write them, stand in no quotes
                before, after = before.removesuffix('"'), after.removeprefix('"')
            start, end = len(before), len(text) - len(after)
            if text.startswith(before) and text.endswith(after) and start <= end:
                places.append((start, end, number))
                if slot.field != "arguments" and text[start:end] not in forms(given.said[number]):
                    altered.add(number)
                break
        else:
            # a template that looks into the text may still write it as it is: it does where it stands there once
            standing = [form for form in forms(given.said[number]) if form and text.count(form) == 1]
            if standing and slot.field != "arguments":
                at = text.index(standing[0])
                places.append((at, at + len(standing[0]), number))
    apart: list[Spot] = []
    for spot in sorted(places):
        if not apart or spot[0] >= apart[-1][1]:
            apart.append(spot)
    bones = _assembled(renderer, messages, tools, ends, prompts, text, given.slots, apart, frozenset(altered))
    starts = [0]
    for start, end, _ in apart:
        starts += [start, end]
    return bones, Fitted((*starts, len(text)))


def fit(skeleton: Skeleton, text: str, said: list[str]) -> Fitted | None:
    """Where each part of the skeleton stands in the text of a row; None where it is not the same scaffold."""
    at = 0
    starts, trimmed = [], []
    parts = skeleton.parts
    for number, part in enumerate(parts):
        starts.append(at)
        if isinstance(part, str):
            if not text.startswith(part, at):
                return None
            at += len(part)
            continue
        following = parts[number + 1] if number + 1 < len(parts) else ""
        following = following if isinstance(following, str) else ""
        if skeleton.slots[part].field == "arguments":
            at = text.find(following, at) if following else len(text)
            if at < 0:
                return None
            continue
        for form in forms(said[part]):
            if text.startswith(form, at) and text.startswith(following, at + len(form)):
                break
        else:
            return None
        if len(form) < len(said[part]):
            trimmed.append(part)
        at += len(form)
    return Fitted((*starts, at), tuple(trimmed)) if at == len(text) else None


def forms(text: str) -> Iterator[str]:
    """The forms in which a template may write a text without loss but that of space at its edges."""
    yield text
    if text[:1].isspace() or text[-1:].isspace():
        yield from (text.rstrip(), text.lstrip(), text.strip())
    yield json.dumps(text, ensure_ascii=False)[1:-1]


def _assembled(
    renderer: Renderer,
    messages: list[Message],
    tools: list[Any] | None,
    ends: Ends,
    prompts: Prompts,
    text: str,
    slots: tuple[Slot, ...],
    places: list[Spot],
    altered: frozenset[int] = frozenset(),
) -> Skeleton:
    parts: list[str | int] = []
    starts = []
    at = 0
    for start, end, slot in places:
        starts += [at, start]
        parts += [text[at:start], slot]
        at = end
    starts.append(at)
    parts.append(text[at:])

    def place(character: int) -> Place:
        """The place of a character, in a text of the template where it can be: those alone have a fixed length."""
        part = max(0, bisect_right(starts, character) - 1) // 2 * 2
        return part, character - starts[part]

    texts: list[int] = []
    spots: dict[int, list[Spot]] = {}
    for spot in places:
        if slots[spot[2]].field != "id":
            texts.append(spot[0])
            spots.setdefault(slots[spot[2]].message, []).append(spot)
    spans = _marks(renderer, messages, tools, text)
    befores = prompts.ends(messages, tools, text)
    turns = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        mine = spots.get(number, [])
        prompt = befores[number]
        prefix = prompt is not None
        if prompt is not None:
            start = prompt
        elif mine:
            start = mine[0][0]
        else:
            continue
        last = max([start, *(spot[1] for spot in mine)])
        if spans is None:
            following = bisect_left(texts, last)
            stop = ends.behind(text, last, texts[following] if following < len(texts) else len(text))
            end, ended = stop or last, stop is not None
        else:
            marks = [span for span in spans if span[1] >= start and span[0] <= last]
            if not marks:
                continue
            spoken = max((spot[1] for spot in places if spot[1] <= start), default=0)
            if not prefix or not spoken <= marks[0][0] <= start:  # a mark may begin within the generation prompt
                prefix, start = prefix and marks[0][0] == start, marks[0][0]
            end = marks[-1][1]
            stop = ends.behind(text, last, end)
            ended = stop is not None and not text[stop:end].strip()
            end = stop if stop is not None and ended else end
        part, character = at_start = place(start)
        before = str(parts[part])
        tails = [control.start() for control in ends.pattern.finditer(before[:character])]
        whole = tails and character <= len(before)  # else the prompt ends within a text: `<think>` in an answer
        tail = before[tails[-1] : character] if whole else None
        turns.append(Turn(number, at_start, place(end), prefix, ended, tail))
    scaffold = "".join(part for part in parts if isinstance(part, str))
    return Skeleton(tuple(parts), slots, tuple(turns), altered, all(name in scaffold for name in _names(tools)))


def _names(tools: list[Any] | None) -> list[str]:
    """Names of the tools that have one."""
    functions = [tool.get("function", tool) for tool in tools or () if isinstance(tool, dict)]
    return [one["name"] for one in functions if isinstance(one, dict) and isinstance(one.get("name"), str)]


def _marks(renderer: Renderer, messages: list[Message], tools: list[Any] | None, text: str) -> Any:
    """The characters that the template marks as generated; None where it marks nothing, or renders otherwise then."""
    if not GENERATION.search(renderer.template):
        return None
    again, spans = renderer.marked(messages, tools)
    return spans if again == text else None
