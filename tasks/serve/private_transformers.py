"""What `transformers serve` generates with, which no documentation lists: a thread, a queue, and text as it comes."""

from typing import Any

from transformers.cli.serving.utils import GenerateManager

__all__ = ["GenerateManager", "Raw"]


class Raw:
    """Takes the place of a parser of responses: text goes through as it is, special tokens included."""

    initial_events: tuple[dict[str, Any], ...] = ()

    def feed(self, text: str) -> list[dict[str, Any]]:
        """One event with the text."""
        return [{"type": "region_chunk", "field": "content", "text": text}]

    def finalize(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Nothing more."""
        return {}, []
