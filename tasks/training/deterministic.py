"""Sums and counts that CUDA refuses to compute while `torch.use_deterministic_algorithms` is on, in another way.

Of the operations that PyTorch 2.13 refuses then, two stand in the language models of transformers 5.23: `torch.histc`,
which counts the tokens of each expert of a mixture (`integrations/moe.py`, and the auxiliary loss of each such model),
and `torch.cumsum` of floats (Mamba 2 and its hybrids, the delta rule of Qwen3-Next and Qwen3.5, sampling by top_p).

    stand_in("CUDA")  # afterwards torch.histc and torch.cumsum on a card are those below, in backward passes too

Shapes: `N` numbers in any shape, `B` bins.
"""

import warnings
from functools import cache
from typing import Any

import torch

WIDE_ENOUGH = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
"""In what numbers of 16 bits are added up."""


@cache
def stand_in(key: str) -> Any:
    """Put `count_bins` and `running_sum` in the place of PyTorch's kernels for the dispatch key `key`, in this process.

    The registration ends with the object that is returned; the cache holds it. Autograd and autocast stand above a
    kernel, so both treat it as they treat PyTorch's own.
    """
    kind: Any = torch.library.Library  # torch gives it no types
    library = kind("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Overriding a previously registered kernel")  # which is meant here
        library.impl("histc", count_bins, key)
        library.impl("cumsum", running_sum, key)
    return library


def count_bins(numbers: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """Like `torch.histc`: how many of `numbers` (N) are in each of `bins` equal parts from `min` to `max`; (B).

    Whole numbers are added, in whatever order the same. Raises `RuntimeError` where `max` is less than `min`.

    >>> count_bins(torch.tensor([0, 2, 2, 3]), bins=4, min=0, max=3)
    tensor([1, 0, 2, 1])
    """
    flat = numbers.reshape(-1)
    low, high = min, max
    if low == high and len(flat):
        low, high = flat.min().item(), flat.max().item()
    if low == high:
        low, high = low - 1, high + 1
    if not low < high:
        raise RuntimeError(f"histc: max {high} must be larger than min {low}")
    inside = (flat >= low) & (flat <= high)
    scaled = (flat.to(WIDE_ENOUGH.get(flat.dtype, flat.dtype)) - low) * bins
    rounding = None if numbers.is_floating_point() else "floor"
    part = torch.div(scaled, high - low, rounding_mode=rounding)
    part = torch.where(inside, part, bins).long()  # a bin more, for what is outside; NaN too
    part = torch.where(inside & (part == bins), bins - 1, part)  # the last one holds its upper end
    counts = torch.zeros(bins + 1, dtype=torch.long, device=numbers.device)
    return counts.scatter_add_(0, part, torch.ones_like(part))[:bins].to(numbers.dtype)


def running_sum(numbers: Any, dim: int, *, dtype: Any = None) -> Any:
    """Like `torch.cumsum`: of each number and all before it along `dim`; the shape of `numbers`.

    Each pass adds what stands 1, 2, 4, ... places before, so that the order of addition is the same each time
    (Hillis and Steele 1986, "Data parallel algorithms").

    >>> running_sum(torch.tensor([1.0, 2.0, 3.0]), 0)
    tensor([1., 3., 6.])
    """
    kind = dtype or (numbers.dtype if numbers.is_floating_point() or numbers.is_complex() else torch.long)
    total = numbers.to(WIDE_ENOUGH.get(kind, kind), copy=True)
    if not numbers.dim():
        return total.to(kind)
    length, distance = numbers.shape[dim], 1
    while distance < length:
        first, rest = total.split([distance, length - distance], dim)
        total = torch.cat([first, rest + total.narrow(dim, 0, length - distance)], dim)
        distance *= 2
    return total.to(kind)
