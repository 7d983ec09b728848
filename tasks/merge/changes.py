"""What the changes of a weight in several models add up to, to the last bit as peft has it for adapters.

peft sorts the largest changes, though only which they are counts; and it goes over whole tensors, one operation after
the other. Here a piece goes through all of them while it is in the processor's cache, and peft is loaded for what draws
numbers alone.
"""

import hashlib
import warnings
from collections.abc import Sequence
from threading import Lock

import torch

from tasks.merge.combine import Combine
from tasks.models.private_peft import adding
from tasks.models.writing import PIECE

_drawing = Lock()
"""Held while peft draws from torch's one generator."""


def added(name: str, changes: list[torch.Tensor], combine: Combine) -> torch.Tensor:
    """What `changes` of the weight `name`, tensors in float32 of one shape, add up to; they are used up."""
    weights = list(combine.weights.values())
    if "dare" in combine.method:
        return _drawn(name, changes, weights, combine)
    if combine.prunes:
        changes = [keep_largest(change, combine.density) for change in changes]
    add = _mean_of_agreeing if combine.method == "ties" else _sum
    flat = [change.reshape(-1) for change in changes]
    total, step = torch.empty_like(flat[0]), PIECE // torch.float32.itemsize
    for start in range(0, len(total), step):
        piece = slice(start, start + step)
        total[piece] = add([change[piece] for change in flat], weights)
    return total.reshape(changes[0].shape)


def keep_largest(change: torch.Tensor, density: float) -> torch.Tensor:
    """`change` itself, multiplied by 0 but for that share of its numbers that are furthest from 0.

    Of equal ones it keeps those that peft keeps: both ask `torch.topk`, which chooses first and sorts afterwards.
    """
    if density >= 1:
        return change
    sizes = change.abs().reshape(-1)
    largest = torch.topk(sizes, int(density * len(sizes)), sorted=False).indices
    return change.mul_(sizes.zero_().index_fill_(0, largest, 1).reshape(change.shape))


def _sum(changes: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Of changes, each times its weight."""
    total = torch.zeros_like(changes[0])  # a sum that begins with -0 could end with it
    for change, weight in zip(changes, weights, strict=True):
        total += change * weight
    return total


def _mean_of_agreeing(changes: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Of the changes that have the sign of their sum, at each place, each times its weight; 0 where there is none."""
    sign = torch.where(_sum(changes, [1] * len(changes)) >= 0, 1.0, -1.0)
    agreeing = [(change.sign() == sign).float() for change in changes]
    total = _sum([change * agrees for change, agrees in zip(changes, agreeing, strict=True)], weights)
    return total.div_(_sum(agreeing, [1] * len(changes)).clamp_(min=1))


def _drawn(name: str, changes: list[torch.Tensor], weights: list[float], combine: Combine) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(f"{combine.seed} {name}".encode()).digest()[:7], "big")
    shares = torch.tensor(weights, dtype=torch.float32)
    with _drawing, torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(seed)  # by name: the same numbers are dropped whenever the weight is asked for
        return torch.as_tensor(adding(combine.method)(changes, shares, density=combine.density))
