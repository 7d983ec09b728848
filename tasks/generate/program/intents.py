"""The grammar as it is kept in memory: intents, their commands and phrasings, and the values that fill their slots."""

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property

HELD_OUT_ONE_IN = 8
"""One command in so many is held out for the test split, chosen by the hash of its text."""

SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
"""`{slot}`, or `{slot:kind}`."""


@dataclass(frozen=True)
class Intent:
    """One thing to ask for: a command with slots, and the phrasings that ask for it."""

    name: str
    command: str
    """The docker command; slots as `{name}`."""
    slots: dict[str, str] = field(hash=False)
    """Slot name to kind, in the command's order."""
    requests: tuple[str, ...]
    held_out: tuple[str, ...]
    """Phrasings for the test split only."""


@dataclass(frozen=True)
class Grammar:
    """Everything in the seed folder, checked."""

    name: str
    description: str
    system: str | None
    openings: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    """Kind of slot to its values."""
    intents: tuple[Intent, ...]
    card: dict[str, str] = field(default_factory=dict)
    """What the model card says of the assistant: title, purpose, licence, limits."""

    @cached_property
    def plain(self) -> frozenset[str]:
        """Commands of intents without slots: each is the only one of its kind, so it is never held out."""
        return frozenset(intent.command for intent in self.intents if not intent.slots)

    @cached_property
    def patterns(self) -> dict[int, list[tuple[Intent, list[str]]]]:
        """By the number of its words: each phrasing, as words, and its intent. Held-out phrasings are among them."""
        by_length: dict[int, list[tuple[Intent, list[str]]]] = {}
        for intent in self.intents:
            for phrasing in (*intent.requests, *intent.held_out):
                pattern = phrasing.removesuffix("?").split()
                by_length.setdefault(len(pattern), []).append((intent, pattern))
        return by_length

    def held_out(self, command: str) -> bool:
        """Whether this exact command is kept for the test split; depends on its text alone."""
        digest = hashlib.sha256(command.encode()).digest()
        return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0 and command not in self.plain


def fill(pattern: str, values: dict[str, str]) -> str:
    """`pattern` with each `{slot}` replaced by its value."""
    return SLOT.sub(lambda match: values[match[1]], pattern)
