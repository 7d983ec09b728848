"""Markup is found by rendering a dialogue with a marker in the place of every text that a row brings.

That shows which texts the template writes and where, what stands between them, and where each turn of the assistant
begins and ends. A row that does not fit the markup of its kind, for templates may look into texts, gets one of its
own.
"""

import re
from bisect import bisect_left, bisect_right
from typing import Any

from tasks.chat.renderer import Renderer, Unrenderable
from tasks.rows.canonical import Message
from tasks.template.markers import Marked, Slot, Spot, TurnEnds, locate, mark_one
from tasks.template.markup import FittedMarkup, Markup, Position, Turn, forms
from tasks.template.prompts import Prompts

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""The mark of generated text in a chat template (transformers, `return_assistant_tokens_mask`)."""


def shared_markup(
    renderer: Renderer, marked_dialogue: Marked, tools: list[Any] | None, ends: TurnEnds, prompts: Prompts
) -> Markup:
    """The markup of all dialogues built like this one. Raises `Unrenderable`."""
    text = renderer.render_adapted(marked_dialogue.messages, tools)
    return _assemble(
        renderer,
        marked_dialogue.messages,
        tools,
        ends,
        prompts,
        text,
        marked_dialogue.slots,
        locate(text, marked_dialogue.slots, ends.pattern),
    )


def row_markup(
    renderer: Renderer,
    messages: list[Message],
    marked_dialogue: Marked,
    tools: list[Any] | None,
    ends: TurnEnds,
    prompts: Prompts,
    text: str,
) -> tuple[Markup, FittedMarkup]:
    """The markup of this very row: where each text stands shows when it alone is replaced by a marker."""
    spots: list[Spot] = []
    altered = set()
    for number, slot in enumerate(marked_dialogue.slots):
        if slot.field == "id":
            continue
        alone = [*messages[: slot.message], mark_one(marked_dialogue, messages, number), *messages[slot.message + 1 :]]
        try:
            around = renderer.render_adapted(alone, tools)
        except Unrenderable:
            continue
        mine = [spot for spot in locate(around, marked_dialogue.slots, ends.pattern) if spot.slot == number]
        # one of them, for texts of the row may quote the marker; or all, where the template writes a text twice
        for first, last in [(run[0].start, run[-1].end) for run in (*([spot] for spot in mine), mine) if run]:
            before, after = around[:first], around[last:]
            if not text.startswith(before):  # numbers, as some templates write them, stand in no quotes
                before, after = before.removesuffix('"'), after.removeprefix('"')
            start, end = len(before), len(text) - len(after)
            if text.startswith(before) and text.endswith(after) and start <= end:
                spots.append(Spot(start, end, number))
                if slot.field != "arguments" and text[start:end] not in forms(marked_dialogue.texts[number]):
                    altered.add(number)
                break
        else:
            # a template that looks into the text may still write it as it is: it does where it stands there once
            standing = [form for form in forms(marked_dialogue.texts[number]) if form and text.count(form) == 1]
            if standing and slot.field != "arguments":
                at = text.index(standing[0])
                spots.append(Spot(at, at + len(standing[0]), number))
    apart: list[Spot] = []
    for spot in sorted(spots):
        if not apart or spot.start >= apart[-1].end:
            apart.append(spot)
    markup = _assemble(renderer, messages, tools, ends, prompts, text, marked_dialogue.slots, apart, frozenset(altered))
    starts = [0]
    for start, end, _ in apart:
        starts += [start, end]
    return markup, FittedMarkup((*starts, len(text)))


def _assemble(
    renderer: Renderer,
    messages: list[Message],
    tools: list[Any] | None,
    ends: TurnEnds,
    prompts: Prompts,
    text: str,
    slots: tuple[Slot, ...],
    spots: list[Spot],
    altered: frozenset[int] = frozenset(),
) -> Markup:
    parts: list[str | int] = []
    starts = []
    at = 0
    for start, end, slot in spots:
        starts += [at, start]
        parts += [text[at:start], slot]
        at = end
    starts.append(at)
    parts.append(text[at:])

    def position(character: int) -> Position:
        """The position of a character, in a text of the template where it can be: those alone have a fixed length."""
        part = max(0, bisect_right(starts, character) - 1) // 2 * 2
        return Position(part, character - starts[part])

    texts: list[int] = []
    by_message: dict[int, list[Spot]] = {}
    for spot in spots:
        if slots[spot.slot].field != "id":
            texts.append(spot.start)
            by_message.setdefault(slots[spot.slot].message, []).append(spot)
    spans = _marks(renderer, messages, tools, text)
    befores = prompts.ends(messages, tools, text)
    turns = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        mine = by_message.get(number, [])
        prompt = befores[number]
        prefix = prompt is not None
        if prompt is not None:
            start = prompt
        elif mine:
            start = mine[0].start
        else:
            continue
        last = max([start, *(spot.end for spot in mine)])
        if spans is None:
            following = bisect_left(texts, last)
            stop = ends.end_after(text, last, texts[following] if following < len(texts) else len(text))
            end, ended = stop or last, stop is not None
        else:
            marks = [span for span in spans if span[1] >= start and span[0] <= last]
            if not marks:
                continue
            spoken = max((spot.end for spot in spots if spot.end <= start), default=0)
            if not prefix or not spoken <= marks[0][0] <= start:  # a mark may begin within the generation prompt
                prefix, start = prefix and marks[0][0] == start, marks[0][0]
            end = marks[-1][1]
            stop = ends.end_after(text, last, end)
            ended = stop is not None and not text[stop:end].strip()
            end = stop if stop is not None and ended else end
        part, character = at_start = position(start)
        before = str(parts[part])
        tails = [control.start() for control in ends.pattern.finditer(before[:character])]
        whole = tails and character <= len(before)  # else the prompt ends within a text: `<think>` in an answer
        tail = before[tails[-1] : character] if whole else None
        turns.append(Turn(number, at_start, position(end), prefix, ended, tail))
    written = "".join(part for part in parts if isinstance(part, str))
    return Markup(tuple(parts), slots, tuple(turns), altered, all(name in written for name in _names(tools)))


def _names(tools: list[Any] | None) -> list[str]:
    """Names of the tools that have one."""
    functions = [tool.get("function", tool) for tool in tools or () if isinstance(tool, dict)]
    return [one["name"] for one in functions if isinstance(one, dict) and isinstance(one.get("name"), str)]


def _marks(renderer: Renderer, messages: list[Message], tools: list[Any] | None, text: str) -> Any:
    """The characters that the template marks as generated; None where it marks nothing, or renders otherwise then."""
    if not GENERATION.search(renderer.template):
        return None
    again, spans = renderer.render_with_spans(messages, tools)
    return spans if again == text else None
