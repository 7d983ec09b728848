"""A call of a tool: one type for the shapes that public data, servers and templates write it in."""

import ast
import json
from dataclasses import dataclass
from typing import Any

NAMES = ("name", "tool_name", "function", "recipient_name")
ARGUMENTS = ("arguments", "args", "parameters", "input")
"""Keys under which the shapes have the name and the arguments, the usual ones first."""

IDS = ("id", "call_id", "toolUseId", "tool_call_id")


class BadTool(ValueError):
    """What is no call of a tool, or no definition of one; carries the reason, a line of the ledger."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool."""

    name: str
    arguments: dict[str, Any]
    """By name; JSON values."""
    id: str | None = None
    text: str | None = None
    """The arguments as the JSON text that they came as; None where they came as an object."""
    repaired: bool = False
    """Whether the arguments came as something that only amounts to a JSON object, such as Python's form of one."""
    absent: bool = False
    """Whether there were no arguments at all, or an empty text in their place."""

    @property
    def key(self) -> tuple[str, str]:
        """Equal for calls of one tool with the same arguments as JSON: 1 and 1.0 are the same, 1 and true are not."""
        return self.name, json.dumps(plain(self.arguments), sort_keys=True, ensure_ascii=False)

    def as_openai(self) -> dict[str, Any]:
        """The call as messages in OpenAI's form have it, its arguments as JSON text.

        >>> ToolCall("ls", {"path": "."}).as_openai()
        {'type': 'function', 'function': {'name': 'ls', 'arguments': '{"path": "."}'}}
        """
        text = self.text if self.text is not None else json.dumps(self.arguments, ensure_ascii=False, allow_nan=False)
        named = {"id": self.id} if self.id is not None else {}
        return {**named, "type": "function", "function": {"name": self.name, "arguments": text}}


def read_call(value: Any) -> ToolCall:
    """The call that an object is: OpenAI's, one of its parts alone, Anthropic's, Gemini's or Cohere's.

    >>> read_call({"type": "tool_use", "id": "t1", "name": "ls", "input": {"path": "."}}).arguments
    {'path': '.'}

    Raises `BadTool`: `bad_tool_call` for what has no name, `bad_arguments` for arguments that are no JSON object.
    """
    value = as_value(value)
    if not isinstance(value, dict):
        raise BadTool("bad_tool_call")
    function = as_value(value.get("function"))
    inner = function if isinstance(function, dict) else value
    name = next((inner[key] for key in NAMES if isinstance(inner.get(key), str) and inner[key].strip()), None)
    if name is None:
        raise BadTool("bad_tool_call")
    call_id = next((value[key] for key in IDS if isinstance(value.get(key), str | int) and value[key] != ""), None)
    arguments = next((inner[key] for key in ARGUMENTS if inner.get(key) is not None), None)
    values, text, repaired = read_arguments(arguments)
    absent = arguments is None or (isinstance(arguments, str) and not arguments.strip())
    return ToolCall(name, values, None if call_id is None else str(call_id), text, repaired, absent)


def read_calls(value: Any) -> list[ToolCall]:
    """The calls of a list, of one object, or of a JSON text of either. Raises `BadTool`."""
    value = as_value(value)
    return [read_call(call) for call in (value if isinstance(value, list) else [value])]


def read_arguments(value: Any) -> tuple[dict[str, Any], str | None, bool]:
    """Arguments by name, the JSON text that they came as (None for an object), and whether they had to be repaired.

    Python's form of an object, and JSON within JSON, are certain; a text that breaks off is not. Raises `BadTool`.
    """
    if value is None:
        return {}, "{}", False
    if isinstance(value, dict):
        return value, None, False
    if not isinstance(value, str):
        raise BadTool("bad_arguments")
    if not value.strip():
        return {}, "{}", True
    values = as_value(value)
    if isinstance(values, dict):
        return values, value if is_json(value) else None, not is_json(value)
    try:
        values = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        values = None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise BadTool("bad_arguments")
    try:
        return json.loads(json.dumps(values, allow_nan=False)), None, True
    except (ValueError, TypeError):
        raise BadTool("bad_arguments") from None


def as_value(value: Any) -> Any:
    """What a JSON text of an object or a list stands for, also where it is JSON within JSON; any other value as it is.

    >>> as_value('"[1]"')
    [1]
    """
    parsed = value
    for _ in range(3):
        if not isinstance(parsed, str):
            return parsed
        try:
            parsed = json.loads(parsed, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return value
    return value if isinstance(parsed, str) else parsed


def is_json(text: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def plain(value: Any) -> Any:
    """A JSON value in which whole numbers are integers, so that equal numbers are written alike."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
