"""What a training was, in tiles: each number or name with what it is, in the words of the field."""

from collections.abc import Iterator
from typing import Any

from tasks.core.numbers import shown

ATTENTION = {
    "sdpa": "SDPA",
    "sdpa_by_row": "SDPA by row",
    "eager": "eager",
    "flash_attention_2": "Flash Attention 2",
    "flash_attention_3": "Flash Attention 3",
    "flex_attention": "Flex Attention",
}
"""Implementations of attention by transformers' names for them; `sdpa_by_row` is SDPA on each row of a packed line."""

HASH = 8
"""Characters of a hash that tell two of them apart."""


def tiles(training: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Text and label of each fact in `training` (training.json) that is one value.

    >>> list(tiles({"attention": "sdpa_by_row", "tuned_share": 0.5, "steps": 1200, "classes": ["a", "b"]}))
    [('SDPA by row', 'attention'), ('50.0 %', 'tuned share'), ('1,200', 'steps'), ('2', 'classes')]
    """
    for key, value in training.items():
        if key != "left_out" and not isinstance(value, dict):
            yield _text(key, value), key.replace("_", " ")


def _text(key: str, value: Any) -> str:
    if key == "classes":
        return str(len(value))
    if key.endswith("_share"):
        return f"{100 * value:.1f} %"
    if key == "base":
        return str(value)[:HASH]
    if key == "attention":
        return ATTENTION.get(value, str(value))
    return shown(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
