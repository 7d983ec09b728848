"""The forms in which messages go into a chat template: contents as texts or parts, arguments as texts or objects."""

import json
import re
from contextlib import suppress
from typing import Any

from tasks.core.json_files import json_value
from tasks.rows.canonical import Message

ANY_ID = re.compile(r".*", re.DOTALL)
SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")
"""Ids of calls that a template takes."""


def in_parts(messages: list[Message]) -> list[Message]:
    """The messages with each text as a list of one part."""
    return [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message.get("content"), str)
        else message
        for message in messages
    ]


def written_length(messages: list[Message], tools: list[Any] | None) -> int:
    """Characters of all that a template can write of a dialogue and its tools, with their names."""
    return len(json.dumps([messages, tools], ensure_ascii=False, default=str))


def with_objects(message: Message) -> Message:
    """The message with arguments of calls as objects."""
    return _with_arguments(
        message, lambda arguments: json_value(arguments) if isinstance(arguments, str) else arguments
    )


def with_texts(message: Message) -> Message:
    """The same text for the same arguments, as templates that take objects write them, however the row spaces them."""
    return _with_arguments(
        message,
        lambda arguments: json.dumps(
            json_value(arguments) if isinstance(arguments, str) else arguments, ensure_ascii=False
        ),
    )


def with_ids(messages: list[Message], taken: re.Pattern[str]) -> list[Message]:
    """The messages with an id for each call and result; where one is missing, or not `taken`, the call is numbered.

    A result without an id is that of the first call before it that has none yet.
    """
    count = 0
    waiting: list[tuple[Any, str]] = []
    named: list[Message] = []
    for message in messages:
        calls = message.get("tool_calls")
        if isinstance(calls, list) and calls:
            waiting = []
            for call in calls:
                count += 1
                old_id = call.get("id")
                kept = isinstance(old_id, str) and taken.fullmatch(old_id)
                waiting.append((old_id, str(old_id) if kept else f"call{count:05d}"))
            new_calls = [{**call, "id": pair[1]} for call, pair in zip(calls, waiting, strict=True)]
            message = {**message, "tool_calls": new_calls}
        elif message["role"] == "tool" and waiting:
            old_id = message.get("tool_call_id")
            pair = next((pair for pair in waiting if pair[0] == old_id), waiting[0])
            waiting.remove(pair)
            message = {**message, "tool_call_id": pair[1]}
        named.append(message)
    return named


def _with_arguments(message: Message, form: Any) -> Message:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    changed = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and "arguments" in function:
            with suppress(ValueError):  # arguments that are no JSON stay the text they are
                call = {**call, "function": {**function, "arguments": form(function["arguments"])}}
        changed.append(call)
    return {**message, "tool_calls": changed}
