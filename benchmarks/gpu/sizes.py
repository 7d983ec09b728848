"""How large models and rows are, by the memory of the card."""

from dataclasses import dataclass

ROOMY = 10 * 2**30
"""Bytes of a card from which the larger model is taken: to tune it whole takes 6 GB."""


@dataclass(frozen=True)
class Size:
    """Of the model, a Llama, and of the rows."""

    width: int
    layers: int
    vocabulary: int
    """Rows of the embeddings; the tokenizer has fewer tokens, as in many models."""
    context: int
    """Tokens of the longest row, and of a pack."""
    rows: int
    words: int
    """Words of a row, about so many tokens: the median of log-normal lengths."""
    batch: int
    answer_tokens: int
    """Tokens that the model answers with."""


SMALL = Size(64, 2, 1024, 256, 60, 16, 4, 8)
"""For the processor."""

NARROW = Size(768, 12, 32_000, 1024, 540, 200, 8, 32)
"""110 million weights."""

WIDE = Size(1024, 24, 32_000, 1024, 540, 200, 8, 32)
"""320 million weights."""


def size_for(memory: int | None) -> Size:
    """The size for a card of `memory` bytes; for the processor where there is none."""
    if memory is None:
        return SMALL
    return WIDE if memory >= ROOMY else NARROW
