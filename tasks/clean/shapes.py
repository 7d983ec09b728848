"""The shapes that rows come in, recognised by their keys, and the canonical content that each becomes."""

import json
from dataclasses import dataclass
from typing import Any

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "tool": "tool",
    "observation": "tool",
}
"""Names of speakers, and the role that each is."""


class Unusable(Exception):
    """A record that cannot become a row; carries the reason."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass
class Content:
    """What a row says: messages, or a text."""

    shape: str
    messages: list[dict[str, str]] | None = None
    text: str | None = None
    tools: str | None = None
    """Tool definitions, as JSON."""
    tool_calls: str | None = None
    """JSON list with an object (or null) for each message: its keys beyond role and content."""

    def identity(self) -> Any:
        """What the row's id is made of."""
        if self.messages is None:
            return self.text
        return self.messages if not (self.tools or self.tool_calls) else [self.messages, self.tools, self.tool_calls]

    def request(self) -> str:
        """What is asked: the turns of the user, or the text."""
        if self.messages is None:
            return self.text or ""
        return "\n".join(message["content"] for message in self.messages if message["role"] == "user")

    def characters(self) -> int:
        """Length of all turns, or of the text, in characters."""
        return len(self.text or "") + sum(len(message["content"]) for message in self.messages or ())


def recognise(value: dict[str, Any]) -> str | None:
    """The name of the shape that `value` has by its keys, or None."""
    if "messages" in value:
        return "messages"
    if "conversations" in value:
        return "sharegpt"
    if "prompt" in value and "completion" in value:
        return "prompt_completion"
    if "instruction" in value and ("output" in value or "response" in value):
        return "alpaca"
    return "text" if "text" in value else None


def content(value: dict[str, Any], shape: str = "auto", alpaca_instruction: bool = True) -> Content:
    """The canonical content of a record. Raises `Unusable`: `unknown_shape`, `unknown_role` or `not_text`."""
    found = recognise(value) if shape == "auto" else shape
    match found:
        case "messages":
            return _messages(value.get("messages"), "messages", value.get("tools"))
        case "sharegpt":
            turns = value.get("conversations")
            turns = turns if isinstance(turns, list) else None
            if isinstance(value.get("system"), str) and value["system"] and turns is not None:
                turns = [{"from": "system", "value": value["system"]}, *turns]
            return _messages(turns, "sharegpt", value.get("tools"))
        case "prompt_completion":
            both = [_turns(value.get("prompt"), "user"), _turns(value.get("completion"), "assistant")]
            return _messages([turn for turns in both for turn in turns], "prompt_completion")
        case "alpaca":
            return _messages(_alpaca(value, alpaca_instruction), "alpaca")
        case "text":
            if "text" not in value:
                raise Unusable("unknown_shape")
            return Content("text", text=_text(value["text"]))
    raise Unusable("unknown_shape")


def _messages(given: Any, shape: str, tools: Any = None) -> Content:
    if not isinstance(given, list) or not all(isinstance(turn, dict) for turn in given):
        raise Unusable("unknown_shape")
    messages, extras = [], []
    for turn in given:
        speaker = turn.get("role", turn.get("from"))
        if not isinstance(speaker, str) or speaker not in ROLES:
            raise Unusable("unknown_role")
        said = turn.get("content", turn.get("value"))
        extra = {key: kept for key, kept in turn.items() if key not in _TURN and kept is not None}
        messages.append({"role": ROLES[speaker], "content": "" if said is None else _text(said)})
        extras.append(extra or None)
    return Content(
        shape,
        messages=messages,
        tools=_json(tools) if tools else None,
        tool_calls=_json(extras) if any(extras) else None,
    )


_TURN = frozenset({"role", "from", "content", "value"})


def _alpaca(value: dict[str, Any], keep_instruction: bool) -> list[dict[str, Any]]:
    if "instruction" not in value:
        raise Unusable("unknown_shape")
    instruction, given = _text(value["instruction"]), _text(value.get("input") or "")
    asked = instruction
    if given.strip():
        asked = f"{instruction}\n\n{given}" if keep_instruction else given
    answer = value.get("output") if value.get("output") is not None else value.get("response")
    system = [{"role": "system", "content": value["system"]}] if value.get("system") else []
    return [*system, {"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _turns(given: Any, role: str) -> list[Any]:
    """Turns of a prompt or completion that is a text or a list of messages."""
    return given if isinstance(given, list) else [{"role": role, "content": given}]


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise Unusable("not_text")
    return given


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
