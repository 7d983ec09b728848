"""What texts of a row tell that no markup has a slot for: names, values of calls, thoughts that do not end."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from tasks.core.json_files import json_value
from tasks.rows.canonical import Message
from tasks.template.markup import FittedMarkup, Markup, forms

_THINK = re.compile(r"<(/?)think>")


def call_and_speaker_names(messages: list[Message]) -> tuple[list[str], list[str]]:
    """Names of what is called, and of who speaks: texts that no markup has a slot for."""
    all_calls = [call for message in messages for call in message.get("tool_calls") or () if isinstance(call, dict)]
    called, speakers = [
        [holder["name"] for holder in holders if isinstance(holder, dict) and isinstance(holder.get("name"), str)]
        for holders in ([call.get("function") for call in all_calls], messages)
    ]
    return called, speakers


def count_lost_arguments(markup: Markup, fitted: FittedMarkup, text: str, texts: list[str]) -> int:
    """How many calls have values in their arguments that the text lacks."""
    count = 0
    for number, slot in markup.arguments:
        region = text[fitted.starts[number] : fitted.starts[number + 1]]
        try:
            values = json_value(texts[slot])
        except ValueError:
            values = texts[slot]
        count += not all(_stands(value, region) for value in leaves(values))
    return count


def leaves(value: Any) -> list[Any]:
    """The keys and values of a JSON value, however deep."""
    if isinstance(value, dict):
        return [leaf for key, kept in value.items() for leaf in (key, *leaves(kept))]
    if isinstance(value, list):
        return [leaf for kept in value for leaf in leaves(kept)]
    return [value]


def _stands(value: Any, region: str) -> bool:
    if isinstance(value, str):
        return value in region or any(form in region for form in chain(forms(value), _escaped(value)))
    return json.dumps(value) in region or str(value) in region


def _escaped(value: str) -> Iterator[str]:
    """A text in JSON, and in JSON within JSON."""
    yield json.dumps(value)[1:-1]
    yield json.dumps(json.dumps(value, ensure_ascii=False)[1:-1], ensure_ascii=False)[1:-1]


def count_unpaired_thinks(messages: list[Message]) -> int:
    """How many answers have a <think> and </think> that do not stand in pairs."""
    count = 0
    for message in messages:
        content = message.get("content")
        if message["role"] == "assistant" and isinstance(content, str) and "think>" in content:
            tags = [match[1] for match in _THINK.finditer(content)]
            count += tags != ["", "/"] * (len(tags) // 2)
    return count
