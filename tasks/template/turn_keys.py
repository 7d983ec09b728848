"""Keys of turns that no markup has a slot for, such as the name of a speaker: whether the template writes them."""

import re
from collections.abc import Iterator
from typing import Any

from tasks.chat.renderer import Renderer, Unrenderable
from tasks.rows.canonical import Message
from tasks.template.markers import TEXT_FIELDS

LOOKED_AT = frozenset(
    {
        *TEXT_FIELDS, "role", "tool_calls", "tool_call_id", "function_call",  # by the markup
        "weight",  # by the labels
        "parts",  # whose texts are the content
        "id", "finish_reason",  # which say nothing to a reader
    }
)  # fmt: skip
"""Keys that are looked at elsewhere."""

_THOUGHT = re.compile(r"(?i)reason|think|thought|rationale|^cot$")


def unwritten(
    renderer: Renderer, messages: list[Message], tools: list[Any] | None, text: str
) -> Iterator[tuple[int, str]]:
    """Number and key of each value that could be left out of the messages, and `text` would be the same.

    The function's name in a tool's result is none of them: the call has it.
    """
    for number, message in enumerate(messages):
        for key, value in message.items():
            if key in LOOKED_AT or value in (None, "", [], {}) or (key == "name" and message["role"] == "tool"):
                continue
            if not re.search(rf"\b{re.escape(key)}\b", renderer.template) or _same(
                renderer, messages, tools, text, number, key
            ):
                yield number, key


def is_lost_thought(key: str, value: Any, text: str) -> bool:
    """Whether a key of a turn holds what was thought, under a name that no template reads, and `text` lacks it."""
    return bool(_THOUGHT.search(key)) and not all(leaf.strip() in text for leaf in _texts(value))


def _same(
    renderer: Renderer, messages: list[Message], tools: list[Any] | None, text: str, number: int, key: str
) -> bool:
    without = {name: kept for name, kept in messages[number].items() if name != key}
    try:
        return renderer.render_adapted([*messages[:number], without, *messages[number + 1 :]], tools) == text
    except Unrenderable:
        return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, kept in value.items():
            if name not in ("type", "id", "format", "signature"):
                yield from _texts(kept)
    elif isinstance(value, list):
        for kept in value:
            yield from _texts(kept)
    elif isinstance(value, str):
        yield value
