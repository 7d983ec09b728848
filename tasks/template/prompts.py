"""Where in a dialogue the model takes over: behind the prompts that the template writes for its beginnings."""

import json
import marshal
from hashlib import blake2b
from typing import Any

from tasks.chat.renderer import Renderer, Unrenderable
from tasks.rows.canonical import Message

MOST = 200_000
"""Prompts that are remembered, at some 100 bytes each."""

Prompt = tuple[int, bytes]
"""Characters of a prompt, and their hash."""


class Prompts:
    """Prompts by the messages and tools that they are made of: beginnings that dialogues share are rendered once."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._known: dict[bytes, Prompt | None] = {}

    def ends(self, messages: list[Message], tools: list[Any] | None, text: str) -> dict[int, int | None]:
        """For each turn of the assistant how long its prompt is, where the text of the dialogue begins with it."""
        lengths: dict[int, int | None] = {}
        beginnings = _Beginnings(text)
        digest = blake2b(cache_key(tools), digest_size=16)
        for number, message in enumerate(messages):
            if message["role"] == "assistant":
                beginning = digest.digest()
                if beginning not in self._known:
                    if len(self._known) > MOST:
                        self._known.clear()
                    self._known[beginning] = self._prompt(messages[:number], tools)
                prompt = self._known[beginning]
                begins = prompt is not None and len(text) >= prompt[0] and beginnings.hash(prompt[0]) == prompt[1]
                lengths[number] = prompt[0] if prompt is not None and begins else None
            digest.update(cache_key(message))
        return lengths

    def _prompt(self, messages: list[Message], tools: list[Any] | None) -> Prompt | None:
        try:
            text = self._renderer.render_adapted(messages, tools, generation_prompt=True)
        except Unrenderable:
            return None
        return len(text), _Beginnings(text).hash(len(text))


class _Beginnings:
    """Hashes of the beginnings of a text; those that are asked for in the order of their lengths read it once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at, self._digest = 0, blake2b(digest_size=16)

    def hash(self, length: int) -> bytes:
        if length < self._at:
            self._at, self._digest = 0, blake2b(digest_size=16)
        self._digest.update(self._text[self._at : length].encode("utf-8", "surrogatepass"))
        self._at = length
        return self._digest.digest()


def cache_key(value: Any) -> bytes:
    """The same for equal values that JSON knows."""
    try:
        return marshal.dumps(value, 2)  # the version in which it does not matter how a value came to be
    except ValueError:
        return json.dumps(value, default=str).encode()
