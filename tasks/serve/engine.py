"""What an engine is: it goes on from token ids, and gives text as it comes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Ask:
    """One prompt as an engine gets it."""

    ids: list[int]
    """The rendered prompt."""
    max_tokens: int
    temperature: float = 0.0
    """0 takes the most likely token, as the evaluation does."""
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Piece:
    """What came since the last one."""

    text: str = ""
    """With special tokens, without the token that ended the answer."""
    tokens: int = 0
    """Of the whole answer so far."""
    finish: str = ""
    """In the last piece `stop` or `length`."""


class Engine(Protocol):
    """What computes one or more models."""

    about: str
    """Its name, version and device, for people."""

    def context(self, name: str) -> int:
        """Tokens that prompt and answer of the model `name` may have together."""

    def stream(self, name: str, ask: Ask) -> AsyncIterator[Piece]:
        """The answer of the model `name`. Who closes the iterator before its end stops the work."""

    async def close(self) -> None:
        """End what was started."""


class EngineError(Exception):
    """The engine could not go on; the message says why."""
