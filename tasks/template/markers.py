"""A dialogue with markers in the place of its texts, and where a template put them."""

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from tasks.rows.canonical import Message

REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Names under which templates read what a model thinks: the same text under several of them is one text."""

TEXT_FIELDS = ("content", *REASONING_FIELDS)
"""Fields of a message whose text a template writes."""

_MARKER = re.compile("\ue000(\\d+)\ue001|q(?<=\\bq)(\\d{8})\\b")  # begins with letters, so that it finds them fast
_PUNCTUATION = "\"'{}[]:,\\ \n"


class Spot(NamedTuple):
    """Where a slot stands in a text."""

    start: int
    end: int
    slot: int
    """Its number."""


class Slot(NamedTuple):
    """A text that a row brings: a field of a message; `arguments` of a call in the template's own way; an `id`."""

    message: int
    field: str


class Marked(NamedTuple):
    """A dialogue with markers in the place of its texts, the slots, and the texts; a call's arguments come as JSON."""

    messages: list[Message]
    slots: tuple[Slot, ...]
    texts: list[str]


def mark(messages: list[Message]) -> Marked:
    """The dialogue with markers."""
    slots: list[Slot] = []
    texts: list[str] = []
    names: dict[str, str] = {}

    def marker(number: int, field: str, text: str) -> str:
        slots.append(Slot(number, field))
        texts.append(text)
        return f"\ue000{len(slots) - 1}\ue001"

    def name(number: int, call_id: Any) -> Any:
        """A name for a call, of nine letters and digits, as some templates want."""
        if isinstance(call_id, str) and call_id not in names:
            marker(number, "id", call_id)
            names[call_id] = f"q{len(slots) - 1:08d}"
        return names.get(call_id, call_id) if isinstance(call_id, str) else call_id

    marked_messages = []
    for number, message in enumerate(messages):
        new = dict(message)
        marker_of: dict[tuple[bool, str], str] = {}
        for field in TEXT_FIELDS:
            text = message.get(field)
            if text and isinstance(text, str):
                key = field in REASONING_FIELDS, text
                if key not in marker_of:
                    marker_of[key] = marker(number, field, text)
                new[field] = marker_of[key]
        if isinstance(message.get("tool_calls"), list):
            new["tool_calls"] = [_call(number, call, marker, name) for call in message["tool_calls"]]
        if "tool_call_id" in message:
            new["tool_call_id"] = name(number, message["tool_call_id"])
        marked_messages.append(new)
    return Marked(marked_messages, tuple(slots), texts)


def _call(number: int, call: Any, marker: Any, name: Any) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return call
    new = {**call, "id": name(number, call["id"])} if "id" in call else dict(call)
    values = call["function"].get("arguments")
    if values:
        text = values if isinstance(values, str) else json.dumps(values, ensure_ascii=False)
        mark = marker(number, "arguments", text)
        arguments = {mark: mark}
        new["function"] = {
            **call["function"],
            "arguments": json.dumps(arguments, ensure_ascii=False) if isinstance(values, str) else arguments,
        }
    return new


def locate(text: str, slots: tuple[Slot, ...], controls: re.Pattern[str]) -> list[Spot]:
    """Start, end and slot of every marker in the text; those of one call are one, with the punctuation around them.

    `controls` finds control tokens, whose brackets are none of it.
    """
    spots: list[Spot] = []
    called = any(slot.field == "arguments" for slot in slots)
    edges = [match.span() for match in controls.finditer(text)] if called else []
    kept = {at for start, end in edges for at in (start, end - 1)}
    before = {end: text[start:end] for start, end in edges}
    for match in _MARKER.finditer(text):
        number = int(match[1] or match[2])
        if number >= len(slots) or (slots[number].field == "id") != (match[1] is None):
            continue
        start, end = match.span()
        if slots[number].field == "arguments":
            if (quote := before.get(start)) and text.startswith(quote, end):  # a control token on either side
                start, end = start - len(quote), end + len(quote)
            while start and text[start - 1] in _PUNCTUATION and start - 1 not in kept:
                if spots and start <= spots[-1].end:
                    break
                start -= 1
            while end < len(text) and text[end] in _PUNCTUATION and end not in kept:
                end += 1
            if spots and spots[-1].slot == number:
                start = spots.pop().start
        spots.append(Spot(start, end, number))
    return spots


def mark_one(marked_dialogue: Marked, messages: list[Message], number: int) -> Message:
    """The message of a slot with the marker of that slot alone, all else its own."""
    slot = marked_dialogue.slots[number]
    mine, new = messages[slot.message], marked_dialogue.messages[slot.message]
    if slot.field != "arguments":
        marker = new[slot.field]
        return {**mine, **{field: marker for field in TEXT_FIELDS if new.get(field) == marker}}
    calls = [
        {**call, "function": changed["function"]} if _marks(changed, number) else call
        for call, changed in zip(mine["tool_calls"], new["tool_calls"], strict=True)
    ]
    return {**mine, "tool_calls": calls}


def _marks(call: Any, number: int) -> bool:
    return f"\ue000{number}\ue001" in json.dumps(call, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class TurnEnds:
    """What ends a turn: control tokens, of which those at which generation stops come first."""

    pattern: re.Pattern[str]
    stops: frozenset[str]
    any_control: re.Pattern[str]
    """Finds any control token, tags too, with which no turn ends."""

    def end_after(self, text: str, start: int, limit: int) -> int | None:
        """Behind the first control token from `start` on, or a stop in the run of control tokens that it begins."""
        first = at = None
        for match in self.pattern.finditer(text, start, limit):
            if at is not None and match.start() != at:
                break
            at = match.end()
            if match.group() in self.stops:
                return at
            first = first or at
        return first
