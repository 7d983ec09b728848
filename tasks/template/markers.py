"""A dialogue with markers in the place of its texts, and where a template put them."""

import json
import re
from dataclasses import dataclass
from typing import Any

from tasks.rows.canonical import Message

SAID = ("content", "reasoning_content", "reasoning", "thinking")
"""Fields of a message whose text a template writes."""

_MARKER = re.compile("\ue000(\\d+)\ue001|\\bq(\\d{8})\\b")
_PUNCTUATION = "\"'{}[]:,\\ \n"


Spot = tuple[int, int, int]
"""Start and end of a slot in a text, and its number."""


@dataclass(frozen=True)
class Slot:
    """A text that a row brings: a field of a message; `arguments` of a call in the template's own way; an `id`."""

    message: int
    field: str


@dataclass(frozen=True)
class Marked:
    """A dialogue with markers in the place of its texts, the slots, and the texts; a call's arguments come as JSON."""

    messages: list[Message]
    slots: tuple[Slot, ...]
    said: list[str]


def marked(messages: list[Message]) -> Marked:
    """The dialogue with markers."""
    slots: list[Slot] = []
    said: list[str] = []
    names: dict[str, str] = {}

    def marker(number: int, field: str, text: str) -> str:
        slots.append(Slot(number, field))
        said.append(text)
        return f"\ue000{len(slots) - 1}\ue001"

    def name(number: int, given: Any) -> Any:
        """A name for a call, of nine letters and digits, as some templates want."""
        if isinstance(given, str) and given not in names:
            marker(number, "id", given)
            names[given] = f"q{len(slots) - 1:08d}"
        return names.get(given, given) if isinstance(given, str) else given

    made = []
    for number, message in enumerate(messages):
        new = dict(message)
        for field in SAID:
            text = message.get(field)
            if text and isinstance(text, str):
                new[field] = marker(number, field, text)
        if isinstance(message.get("tool_calls"), list):
            new["tool_calls"] = [_call(number, call, marker, name) for call in message["tool_calls"]]
        if "tool_call_id" in message:
            new["tool_call_id"] = name(number, message["tool_call_id"])
        made.append(new)
    return Marked(made, tuple(slots), said)


def _call(number: int, call: Any, marker: Any, name: Any) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return call
    new = {**call, "id": name(number, call["id"])} if "id" in call else dict(call)
    given = call["function"].get("arguments")
    if given:
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        mark = marker(number, "arguments", text)
        arguments = {mark: mark}
        new["function"] = {
            **call["function"],
            "arguments": json.dumps(arguments, ensure_ascii=False) if isinstance(given, str) else arguments,
        }
    return new


def found(text: str, slots: tuple[Slot, ...], controls: re.Pattern[str]) -> list[Spot]:
    """Start, end and slot of every marker in the text; those of one call are one, with the punctuation around them.

    `controls` finds control tokens, whose brackets are none of it.
    """
    spots: list[Spot] = []
    called = any(slot.field == "arguments" for slot in slots)
    edges = (match.span() for match in controls.finditer(text)) if called else ()
    kept = {at for start, end in edges for at in (start, end - 1)}
    for match in _MARKER.finditer(text):
        number = int(match[1] or match[2])
        if number >= len(slots) or (slots[number].field == "id") != (match[1] is None):
            continue
        start, end = match.span()
        if slots[number].field == "arguments":
            while start and text[start - 1] in _PUNCTUATION and start - 1 not in kept:
                if spots and start <= spots[-1][1]:
                    break
                start -= 1
            while end < len(text) and text[end] in _PUNCTUATION and end not in kept:
                end += 1
            if spots and spots[-1][2] == number:
                start = spots.pop()[0]
        spots.append((start, end, number))
    return spots


def only(given: Marked, messages: list[Message], number: int) -> Message:
    """The message of a slot with the marker of that slot alone, all else its own."""
    slot = given.slots[number]
    mine, new = messages[slot.message], given.messages[slot.message]
    if slot.field != "arguments":
        return {**mine, slot.field: new[slot.field]}
    calls = [
        {**call, "function": changed["function"]} if _marks(changed, number) else call
        for call, changed in zip(mine["tool_calls"], new["tool_calls"], strict=True)
    ]
    return {**mine, "tool_calls": calls}


def _marks(call: Any, number: int) -> bool:
    return f"\ue000{number}\ue001" in json.dumps(call, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class Ends:
    """What ends a turn: control tokens, of which those at which generation stops come first."""

    pattern: re.Pattern[str]
    stops: frozenset[str]
    every: re.Pattern[str]
    """Finds any control token, tags too, with which no turn ends."""

    def behind(self, text: str, start: int, limit: int) -> int | None:
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
