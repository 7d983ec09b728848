"""Rows that are compared with held-out texts, many at once: too like one of them, or with a passage of one."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.clean.contamination import Ngrams
from tasks.clean.duplicates import HeldOut
from tasks.clean.numbered import numbered
from tasks.engine.chosen import Engine

NEITHER, NEAR, PASSAGE = range(3)

ROWS = 1024
"""Texts that are compared at a time."""


class Comparison:
    """Held-out texts, in the forms in which they are looked for."""

    def __init__(self, texts: list[str], near: float | None, passage: int | None) -> None:
        """`near`: the similarity from which a row is too like a text; `passage`: words in a row that none shares."""
        self._tests = None if near is None else HeldOut(texts, near)
        self._passages = None if passage is None else Ngrams(texts, passage)

    def __call__(self, texts: pa.Array) -> Any:
        """`NEITHER`, `NEAR` or `PASSAGE` for each text, `[n]` of int8."""
        kinds = np.full(len(texts), NEITHER, np.int8)
        if self._passages:
            kinds[self._passages.any_in(numbered(texts, self._passages.dictionary))] = PASSAGE
        if self._tests:
            kinds[self._tests.near(numbered(texts, self._tests.dictionary))] = NEAR
        return kinds


def compared(comparison: Comparison, texts: Iterable[pa.Array], engine: Engine) -> Iterator[Any]:
    """What `comparison` says of all texts, some at a time, in their order."""
    parts = (alone(some.slice(start, ROWS)) for some in texts for start in range(0, len(some), ROWS))
    return engine.ordered(comparison, parts)


def alone(texts: pa.Array) -> pa.Array:
    """Texts without the rest of the array that they are of, which would travel with them."""
    return pa.concat_arrays([texts])
