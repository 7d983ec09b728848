"""Turns of a conversation in one form, from OpenAI's messages or ShareGPT's; what they have beside text is kept."""

from itertools import chain
from typing import Any

from tasks.clean.calls import CALLS, called, is_null, joined_calls
from tasks.clean.content import Turn, Unusable, as_json
from tasks.clean.tool_blocks import as_result, messages_of

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
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "ipython": "tool",
}
"""Names of speakers, and the role that each is."""

_TEXT_KEYS = frozenset({"role", "from", "content", "value", "tool_calls", "function_call"})
_CALLERS = ("function_call", "tool_call")


def conversation(value: dict[str, Any]) -> list[Turn]:
    """The turns of a record with `messages` or `conversations`, and with a `system` prompt beside them."""
    messages = value.get("messages", value.get("conversations", value.get("contents")))
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
    return joined_calls([_turn(turn) for turn in chain.from_iterable(map(messages_of, messages))])


def _turn(turn: dict[str, Any]) -> Turn:
    """A turn; its calls stand under `CALLS` as they came, until `settle` has seen the tools of the row."""
    speaker = turn.get("role", turn.get("from"))
    if not isinstance(speaker, str) or speaker.lower() not in ROLES:
        raise Unusable("unknown_role")
    role = ROLES[speaker.lower()]
    content = turn.get("content", turn.get("value"))
    extra = {key: kept for key, kept in turn.items() if key not in _TEXT_KEYS and not is_null(kept)}
    if speaker in _CALLERS:
        calls, content = called(content, content), None
    else:
        calls = called(turn.get("tool_calls"), turn.get("function_call"))
    if calls and role != "assistant":
        raise Unusable("bad_tool_call")
    if role == "tool":
        content = as_result(content)
    if isinstance(content, list):
        text = _joined(content)
        if len(content) > 1:
            extra["parts"] = content
        content = text
    if content is not None and not isinstance(content, str):
        raise Unusable("not_text")
    extra_text = as_json(extra) if extra else None
    return {"role": role, "content": content or "", "extra": extra_text, **({CALLS: calls} if calls else {})}


def _joined(parts: list[Any]) -> str:
    """The text of a message in parts; a picture or a sound is no text."""
    values = [part.get("text") if isinstance(part, dict) else part for part in parts]
    texts = [text for text in values if isinstance(text, str)]
    if len(texts) < len(parts):
        raise Unusable("not_text")
    return "".join(texts)
