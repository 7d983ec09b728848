"""Skeletons are found by rendering a dialogue with a marker in the place of every text that a row brings.

That shows which texts the template writes and where, what stands between them, and where each turn of the assistant
begins and ends. A row that does not fit the skeleton of its kind, for templates may look into texts, gets one of its
own.
"""

import re
from bisect import bisect_left, bisect_right
from typing import Any

from tasks.chat.renderer import Renderer, Unrenderable
from tasks.rows.canonical import Message
from tasks.template.markers import Ends, Marked, Slot, Spot, found, only
from tasks.template.prompts import Prompts
from tasks.template.skeleton import Fitted, Place, Skeleton, Turn, forms

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""The mark of generated text in a chat template (transformers, `return_assistant_tokens_mask`)."""


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
