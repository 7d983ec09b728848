"""What a chat template writes around the texts of a dialogue, found once for all dialogues built alike.

A row built alike (same roles, same fields, same tools) must be the same markup with its own texts in it, character
for character, which costs one rendering a row instead of one a turn. `tasks.template.markup_search` finds it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from tasks.template.markers import Slot


class Position(NamedTuple):
    """A part of the markup, and a character in it."""

    part: int
    character: int


@dataclass(frozen=True)
class Turn:
    """A turn of the assistant, from where the model takes over to behind the control token that ends it."""

    message: int
    start: Position
    end: Position
    prefix: bool
    """Whether the prompt after which the model would write this turn is exactly what stands before it."""
    ended: bool
    """Whether a control token ends it."""
    tail: str | None
    """What the template writes from the last control token before the turn on; None where a text stands between."""


@dataclass(frozen=True)
class Markup:
    """The texts of the template (str) and the slots of the row (int, numbers into `slots`) in turn."""

    parts: tuple[str | int, ...]
    slots: tuple[Slot, ...]
    turns: tuple[Turn, ...]
    altered: frozenset[int] = frozenset()
    """Slots whose text stands there in another form: cut, or rewritten."""
    tools: bool = True
    """Whether the template writes the names of all the tools."""
    structures: dict[tuple[Any, ...], Any] = field(default_factory=dict, compare=False, repr=False)
    """What was worked out for dialogues of it, by weights and completion; see `tasks.template.structure`."""

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


class FittedMarkup(NamedTuple):
    """A row in its markup."""

    starts: tuple[int, ...]
    """Character of the text at which each part starts, and the end of the last."""
    trimmed: tuple[int, ...] = ()
    """Slots that lost space at their edges."""

    def character(self, at: Position) -> int:
        """The character of the text at a position in the markup."""
        return self.starts[at.part] + at.character


def fit(markup: Markup, text: str, texts: list[str]) -> FittedMarkup | None:
    """Where each part of the markup stands in the text of a row; None where the row has other markup."""
    at = 0
    starts, trimmed = [], []
    parts = markup.parts
    for number, part in enumerate(parts):
        starts.append(at)
        if isinstance(part, str):
            if not text.startswith(part, at):
                return None
            at += len(part)
            continue
        following = parts[number + 1] if number + 1 < len(parts) else ""
        following = following if isinstance(following, str) else ""
        if markup.slots[part].field == "arguments":
            at = text.find(following, at) if following else len(text)
            if at < 0:
                return None
            continue
        for form in forms(texts[part]):
            if text.startswith(form, at) and text.startswith(following, at + len(form)):
                break
        else:
            return None
        if len(form) < len(texts[part]):
            trimmed.append(part)
        at += len(form)
    return FittedMarkup((*starts, at), tuple(trimmed)) if at == len(text) else None


def forms(text: str) -> Iterator[str]:
    """The forms in which a template may write a text without loss but that of space at its edges."""
    yield text
    if text[:1].isspace() or text[-1:].isspace():
        yield from (text.rstrip(), text.lstrip(), text.strip())
    yield json.dumps(text, ensure_ascii=False)[1:-1]
