"""Turns of a conversation in one form, from OpenAI's messages or ShareGPT's; what they have beside text is kept."""

from typing import Any

from tasks.clean.content import Turn, Unusable, as_json
from tasks.core.json_files import json_value

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
}
"""Names of speakers, and the role that each is."""

_TEXT_KEYS = frozenset({"role", "from", "content", "value"})


def conversation(value: dict[str, Any]) -> list[Turn]:
    """The turns of a record with `messages` or `conversations`, and with a `system` prompt beside them."""
    messages = value.get("messages", value.get("conversations"))
    if not isinstance(messages, list):
        raise Unusable("unknown_shape")
    system = value.get("system")
    if isinstance(system, str) and system.strip():
        messages = [{"role": "system", "content": system}, *messages]
    return turns(messages, "user")


def turns(messages: Any, role: str) -> list[Turn]:
    """Turns of a list of messages, or of one message, or of a text that `role` says."""
    if isinstance(messages, str):
        messages = [{"role": role, "content": messages}]
    elif isinstance(messages, dict):
        messages = [messages]
    if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
        raise Unusable("unknown_shape" if messages is not None else "empty_turn")
    return [_turn(turn) for turn in messages]


def _turn(turn: dict[str, Any]) -> Turn:
    speaker = turn.get("role", turn.get("from"))
    if not isinstance(speaker, str) or speaker.lower() not in ROLES:
        raise Unusable("unknown_role")
    content = turn.get("content", turn.get("value"))
    extra = {key: kept for key, kept in turn.items() if key not in _TEXT_KEYS and not _is_null(kept)}
    if speaker == "function_call":
        extra["tool_calls"], content = _calls(content), None
    called = extra.get("tool_calls", [])
    if not isinstance(called, list) or not all(isinstance(call, dict) for call in called):
        raise Unusable("bad_tool_call")
    if isinstance(content, list):
        text = _joined(content)
        if len(content) > 1:
            extra["parts"] = content
        content = text
    if content is not None and not isinstance(content, str):
        raise Unusable("not_text")
    return {"role": ROLES[speaker.lower()], "content": content or "", "extra": as_json(extra) if extra else None}


def _is_null(value: Any) -> bool:
    """Whether it is null, or an object of nothing else, as which tables write an object that is not there."""
    return value is None or (isinstance(value, dict) and bool(value) and all(map(_is_null, value.values())))


def _calls(value: Any) -> list[dict[str, Any]]:
    """ShareGPT's call of a function, one object or a list of them, as OpenAI's tool_calls."""
    try:
        calls = json_value(value) if isinstance(value, str) else value
    except ValueError:
        raise Unusable("bad_tool_call") from None
    calls = calls if isinstance(calls, list) else [calls]
    if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        raise Unusable("bad_tool_call")
    return [{"type": "function", "function": call} for call in calls]


def _joined(parts: list[Any]) -> str:
    """The text of a message in parts; a picture or a sound is no text."""
    values = [part.get("text") if isinstance(part, dict) else part for part in parts]
    texts = [text for text in values if isinstance(text, str)]
    if len(texts) < len(parts):
        raise Unusable("not_text")
    return "".join(texts)
