"""The forms in which messages go into a chat template: contents as texts or parts, arguments as texts or objects."""

import json
from contextlib import suppress
from typing import Any

from tasks.core.json_files import json_value
from tasks.rows.canonical import Message


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
