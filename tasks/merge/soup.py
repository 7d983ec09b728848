"""Sums of tensors that lie in files, each times its weight: a piece at a time, so that memory holds pieces.

What a sum comes to does not depend on the size of the pieces: each number is made of the numbers at its own place, by
one multiplication and one addition a tensor, in float32.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

import torch

from tasks.models.shards import StoredTensor, raw
from tasks.models.writing import PIECE


@dataclass(frozen=True)
class WeightedSum:
    """A weighted sum, to be written as `dtype`; all tensors have one shape."""

    terms: tuple[tuple[StoredTensor, float], ...]
    dtype: torch.dtype

    def pieces(self) -> Iterator[memoryview]:
        """The bytes of the sum, in pieces of about `PIECE` bytes."""
        numbers = prod(self.terms[0][0].shape)
        step = PIECE // torch.float32.itemsize
        for start in range(0, numbers, step):
            count = min(step, numbers - start)
            parts = ((tensor.part(start, count), weight) for tensor, weight in self.terms)
            yield raw(weighted_sum(parts).to(self.dtype))


def weighted_sum(terms: Iterable[tuple[torch.Tensor, float]]) -> torch.Tensor:
    """The sum of tensors of one shape, each times its weight, in float32 and in their order."""
    total: torch.Tensor | None = None
    for tensor, weight in terms:
        term = tensor.to(torch.float32, copy=True).mul_(weight)
        total = term if total is None else total.add_(term)
    if total is None:
        raise ValueError("a sum of no tensors has no shape")
    return total
