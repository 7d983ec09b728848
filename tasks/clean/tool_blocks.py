"""Calls and results that stand among the texts of a message, or as items beside messages, as messages of their own.

Anthropic's `tool_use` and `tool_result`, Gemini's `functionCall` and `functionResponse`, Bedrock's `toolUse` and
`toolResult`, and the items of OpenAI's Responses become OpenAI's messages with `tool_calls` and the role `tool`.
"""

import json
from typing import Any

from tasks.clean.content import Unusable

Message = dict[str, Any]

CALLS = ("tool_use", "functionCall", "function_call", "toolUse", "tool_call")
RESULTS = ("tool_result", "functionResponse", "function_response", "toolResult", "tool_response")
"""Types of a block, or the key that a block has, by which it is a call or a result."""

_OUTPUTS = ("content", "response", "output", "result")
_RESULT_IDS = ("tool_use_id", "toolUseId", "call_id", "tool_call_id", "id")


def messages_of(message: Message) -> list[Message]:
    """A message as one or more of OpenAI's: its results first, then what it says, with its calls.

    >>> messages_of({"type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}"})[0]["role"]
    'assistant'

    Raises `Unusable` for a result that is no text or JSON.
    """
    if "role" not in message and "from" not in message:
        if message.get("type") == "function_call":
            return [{"role": "assistant", "content": None, "tool_calls": [message]}]
        if message.get("type") == "function_call_output":
            return [_result(message)]
    key = "content" if message.get("content") is not None else "parts"
    blocks = message.get(key)
    if not isinstance(blocks, list):
        return [message]
    calls = [call for block in blocks if (call := _inner(block, CALLS)) is not None]
    results = [result for block in blocks if (result := _inner(block, RESULTS)) is not None]
    texts = [block for block in blocks if _inner(block, CALLS) is None and _inner(block, RESULTS) is None]
    if not calls and not results:
        return [{**_without(message, "parts"), "content": blocks}] if key == "parts" else [message]
    own = {**_without(message, "parts"), "content": texts or None}
    if calls:
        own["tool_calls"] = calls
    return [*map(_result, results), *([own] if texts or calls else [])]


def as_result(value: Any) -> Any:
    """What a tool gave, as text: JSON where it is an object, the texts of blocks one after another."""
    if isinstance(value, list) and value and all(isinstance(block, dict) and _is_text(block) for block in value):
        return "".join(block["text"] if "text" in block else json.dumps(block["json"]) for block in value)
    if isinstance(value, dict | list) and not _has_media(value):
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (ValueError, TypeError):
            raise Unusable("not_finite") from None
    return value


def _result(result: Message) -> Message:
    output = next((result[key] for key in _OUTPUTS if result.get(key) is not None), "")
    call_id = next((result[key] for key in _RESULT_IDS if result.get(key) is not None), None)
    named = {"tool_call_id": str(call_id)} if call_id is not None else {}
    if isinstance(result.get("name"), str):
        named["name"] = result["name"]
    if result.get("is_error") is True or result.get("status") == "error":
        named["is_error"] = True  # type: ignore[assignment]
    return {"role": "tool", "content": as_result(output), **named}


def _inner(block: Any, names: tuple[str, ...]) -> Message | None:
    """The call or result that a block is, or holds under its name."""
    if not isinstance(block, dict):
        return None
    for name in names:
        inner = block.get(name)
        if isinstance(inner, dict) and inner:
            return inner
    return block if block.get("type") in names else None


def _is_text(block: Message) -> bool:
    return isinstance(block.get("text"), str) or (block.get("json") is not None and set(block) <= {"json", "type"})


def _has_media(value: Any) -> bool:
    blocks = value if isinstance(value, list) else [value]
    return any(isinstance(block, dict) and block.get("type") in ("image", "image_url", "document") for block in blocks)


def _without(message: Message, key: str) -> Message:
    return {name: kept for name, kept in message.items() if name != key}
