"""Whether stored weights are finite numbers, and which are all zero: read in pieces, and no model is built."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.core.errors import ModelError
from tasks.models.shards import StoredTensor, raw, stored_tensors

PIECE = 2**22
"""Bytes that are held at one time: few enough to stay in the processor's own memory."""


IN_8_BITS = {torch.float8_e4m3fn: 0x7F, torch.float8_e5m2: 0x7C}
"""Bits that are set in a number which is NaN or, in the second type, infinite: torch computes nothing in 8 bits."""


@dataclass(frozen=True)
class Reading:
    """How much of the weights was looked at."""

    read: int
    """Bytes."""
    total: int
    zero: tuple[str, ...]
    """Kinds of matrices, with `*` for the number of the layer, in which every number of every layer is 0."""


def check_stored(folder: Path, most: int) -> Reading:
    """Read the weights in the safetensors files of `folder`, of each tensor the same share where all of them have more
    than `most` bytes.

    Raises `ModelError` where a number that was read is NaN or infinite, and as `stored_tensors`.
    """
    tensors = {name: one for name, one in stored_tensors(folder).items() if one.dtype.is_floating_point}
    total, read = sum(one.size for one in tensors.values()), 0
    space = torch.empty(PIECE, dtype=torch.uint8)
    zero: dict[str, bool] = {}
    for name, tensor in tensors.items():
        size = tensor.size if total <= most else tensor.size * most // total
        size = min(tensor.size, size + -size % tensor.dtype.itemsize)
        finite, empty = _looked_at(tensor, size, space)
        if not finite:
            raise ModelError(
                f"{tensor.file}: the tensor {name} contains NaN or infinite values; restore the file, or create it "
                "again."
            )
        read += size
        if len(tensor.shape) > 1 and min(tensor.shape) > 1:
            kind = re.sub(r"(?<=\.)\d+(?=\.)", "*", name)
            zero[kind] = zero.get(kind, True) and empty and size == tensor.size
    return Reading(read, total, tuple(kind for kind, empty in zero.items() if empty))


def _looked_at(tensor: StoredTensor, size: int, space: torch.Tensor) -> tuple[bool, bool]:
    """Whether the numbers in the first `size` bytes are finite, and whether all are 0; `space` holds a piece."""
    empty = True
    handle = os.open(tensor.file, os.O_RDONLY)
    try:
        for at in range(0, size, PIECE):
            piece = space[: min(PIECE, size - at)]
            tensor.fill(raw(piece), handle, at)
            if mask := IN_8_BITS.get(tensor.dtype):
                empty = empty and not piece.bitwise_and(0x7F).any()
                if (piece.bitwise_and_(mask) == mask).any():
                    return False, empty
                continue
            numbers = piece.view(tensor.dtype)
            # a sum is not finite where a number is not, and takes one pass; of large numbers it may be so by itself
            whole = numbers.sum(dtype=torch.float32)
            if not torch.isfinite(whole) and not torch.isfinite(numbers).all():
                return False, False
            empty = empty and not whole and not numbers.any()
    finally:
        os.close(handle)
    return True, empty
