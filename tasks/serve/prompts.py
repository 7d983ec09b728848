"""A request of OpenAI's protocol as token ids, rendered as training and evaluation rendered theirs.

What the protocol has and no engine here does is refused by name: a client that asked for three answers and got one, or
for JSON and got prose, would not know.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from tasks.chat.reasoning import Markers, ReasoningReader
from tasks.chat.renderer import Renderer, Unrenderable
from tasks.evaluate.questions import ids
from tasks.rows.canonical import Message
from tasks.serve.engine import Ask

NEUTRAL = {
    "n": 1, "logprobs": False, "top_logprobs": 0, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {},
    "response_format": {"type": "text"}, "functions": [], "function_call": "auto", "modalities": ["text"],
    "tool_choice": "auto",
}  # fmt: skip
"""Keys that are taken with this value only: with another they ask for what is not done."""

READ = {"model", "messages", "tools", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature",
        "top_p", "seed", "stop"}  # fmt: skip
"""Keys that decide the answer."""

PASSED_OVER = {"user", "metadata", "store", "service_tier", "parallel_tool_calls", "prompt_cache_key",
               "safety_identifier", "verbosity"}  # fmt: skip
"""Keys that decide nothing about the answer of one model on one machine."""

ROLES = {"system", "user", "assistant", "tool"}

MOST_SEED = 2**63 - 1
"""The largest seed, as OpenAI has it."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a pair, as JSON can escape it: no text, and no tokenizer takes it."""


class RequestError(Exception):
    """A request that is not carried out; `status`, and `param` and `code` as OpenAI has them."""

    def __init__(self, message: str, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


@dataclass(frozen=True)
class Prompt:
    """A request, ready to be computed."""

    ask: Ask
    tools: list[Any]
    stops: tuple[str, ...]
    opened: Markers | None
    """Markers of the reasoning in which the rendered prompt ends."""


class Prompter:
    """Renders the requests to one model."""

    def __init__(self, tokenizer: Any, context: int, before: str = "", default: str = "") -> None:
        """`before` stands before the system prompt of each request; `default` is that of a request without one."""
        self.renderer, self.reader = Renderer(tokenizer), ReasoningReader.of(tokenizer)
        self._tokenizer, self._context, self._before, self._default = tokenizer, context, before, default

    def prompt(self, body: dict[str, Any]) -> Prompt:
        """The prompt of a request to `/v1/chat/completions`. Raises `RequestError`."""
        _check_keys(body)
        tools = body.get("tools") or []
        if body.get("tool_choice") == "none":
            tools = []
        _check_tools(tools)
        try:
            text = self.renderer.render(self._messages(body), tools or None, generation_prompt=True)
        except Unrenderable as error:
            raise RequestError(str(error), param="messages") from None
        if SURROGATE.search(text):
            raise RequestError("the messages contain an unpaired surrogate, which is not a character", param="messages")
        token_ids = ids(self._tokenizer, text)
        room = self._context - len(token_ids)
        if room < 1:
            raise RequestError(
                f"the messages are {len(token_ids)} tokens long, but the model's context is {self._context}",
                param="messages",
                code="context_length_exceeded",
            )
        if not isinstance(body.get("stream_options") or {}, dict):
            raise RequestError("stream_options must be an object", param="stream_options")
        limit = _whole(body, "max_completion_tokens", 1) or _whole(body, "max_tokens", 1) or room
        ask = Ask(
            token_ids,
            min(limit, room),
            _number(body, "temperature", 0.0, most=2.0),
            _number(body, "top_p", 1.0, most=1.0) or 1.0,
            _whole(body, "seed", 0, MOST_SEED),
        )
        return Prompt(ask, tools, _stops(body), self.reader.opened_by(text))

    def _messages(self, body: dict[str, Any]) -> list[Message]:
        raw = body.get("messages")
        if not isinstance(raw, list) or not raw:
            raise RequestError("messages must be a list of at least one message", param="messages")
        messages = [_message(message, number) for number, message in enumerate(raw)]
        own = messages[0]["content"] if messages[0]["role"] == "system" else self._default
        system = "\n\n".join(filter(None, (self._before, own)))
        rest = messages[1:] if messages[0]["role"] == "system" else messages
        return [*([{"role": "system", "content": system}] if system else []), *rest]


def _check_tools(tools: Any) -> None:
    """Raise `RequestError` unless `tools` is a list of functions as OpenAI has them."""
    if not isinstance(tools, list):
        raise RequestError("tools must be a list", param="tools")
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"].strip():
            raise RequestError(
                f"tools[{number}] must be a function with a name: {{type: function, function: {{name, parameters}}}}",
                param="tools",
            )
        if not isinstance(function.get("parameters") or {}, dict):
            raise RequestError(f"the parameters of tools[{number}] must be a JSON Schema of an object", param="tools")


def _check_keys(body: dict[str, Any]) -> None:
    for key, value in body.items():
        if value is None or key in READ or key in PASSED_OVER:
            continue
        if key == "tool_choice" and value == "none":
            continue
        if key not in NEUTRAL:
            raise RequestError(f"{key}: this server does not support it; remove it", param=key)
        if value != NEUTRAL[key]:
            raise RequestError(
                f"{key} = {json.dumps(value)[:80]}: this server accepts only {json.dumps(NEUTRAL[key])}", param=key
            )


def _message(message: Any, number: int) -> Message:
    """A message in the form that templates take: its content one text, and `system` for `developer`."""
    where = f"messages[{number}]"
    if not isinstance(message, dict):
        raise RequestError(f"{where} must be an object with a role and content", param="messages")
    role = "system" if message.get("role") == "developer" else message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(f"{where} has the role {role!r}; known: {', '.join(sorted(ROLES))}", param="messages")
    content = message.get("content")
    if isinstance(content, list):
        parts: list[Any] = [part.get("text") if isinstance(part, dict) else part for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise RequestError(f"{where} has a part that is not text; the model reads only text", param="messages")
        content = "".join(parts)
    if content is None and role == "assistant":
        content = ""
    if not isinstance(content, str):
        raise RequestError(f"{where} has no text content", param="messages")
    kept = {key: value for key, value in message.items() if value is not None}
    return {**kept, "role": role, "content": content}


def _number(body: dict[str, Any], key: str, default: float, most: float) -> float:
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise RequestError(f"{key} = {value!r}: must be a number from 0 to {most:g}", param=key)
    return float(value)


def _whole(body: dict[str, Any], key: str, least: int, most: int | None = None) -> int | None:
    value = body.get(key)
    if most is not None and type(value) is int and value > most:
        raise RequestError(f"{key} = {value}: must be a whole number of at most {most}", param=key)
    if value is not None and (type(value) is not int or value < least):
        raise RequestError(f"{key} = {value!r}: must be a whole number of at least {least}", param=key)
    return value


def _stops(body: dict[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(text, str) and text for text in stops):
        raise RequestError("stop must be a text or a list of texts", param="stop")
    return tuple(stops)
