"""Markups that earlier runs found, by how their dialogues are built: a later run does not look for them again.

A row is compared with its markup, character for character, wherever that came from (`tasks.template.markup.fit`).
"""

import json
from dataclasses import astuple

from tasks.core.paths import Paths
from tasks.rows.parts import Parts
from tasks.template.markers import Slot
from tasks.template.markup import Markup, Position, Turn
from tasks.template.rows import Templater


class KeptMarkups:
    """Markups in `parts`, as JSON. Any process may ask for them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def get(self, messages: bytes, tools: str) -> Markup | None:
        """The markup of dialogues with these `messages`, markers in the place of texts, and these tools; else None."""
        kept = self._parts.get(self._parts.key(messages, tools.encode("utf-8", "surrogatepass")))
        return None if kept is None else from_bytes(kept)

    def put(self, messages: bytes, tools: str, markup: Markup) -> None:
        """Keep the markup for `get`."""
        self._parts.put(self._parts.key(messages, tools.encode("utf-8", "surrogatepass")), to_bytes(markup))


def markups_of(paths: Paths, templater: Templater) -> KeptMarkups:
    """What earlier runs found with this chat template, these control tokens and this code; after `reconcile`."""
    tokenizer, encoder = templater.encoder.tokenizer, templater.encoder
    about = {
        "chat_template": tokenizer.chat_template,
        "variables": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "patterns": [encoder.pattern.pattern, encoder.any_control.pattern],
        "stops": sorted(tokenizer.convert_ids_to_tokens(sorted(templater.stops))),
    }
    return KeptMarkups(Parts.of(paths, "markups", about))


def to_bytes(markup: Markup) -> bytes:
    """All of the markup but what is worked out from it; `from_bytes` gives it back."""
    turns = [astuple(turn) for turn in markup.turns]
    return json.dumps([markup.parts, markup.slots, turns, sorted(markup.altered), markup.tools]).encode()


def from_bytes(content: bytes) -> Markup:
    """What `to_bytes` wrote."""
    parts, slots, turns, altered, tools = json.loads(content)
    return Markup(
        tuple(parts),
        tuple(Slot(message, field) for message, field in slots),
        tuple(
            Turn(message, Position(*start), Position(*end), prefix, ended, tail)
            for message, start, end, prefix, ended, tail in turns
        ),
        frozenset(altered),
        tools,
    )
