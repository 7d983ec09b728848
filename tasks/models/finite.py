"""Whether stored weights are finite numbers, read in pieces at the speed of the memory; no model is built."""

import os
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


def check_stored(folder: Path, most: int) -> Reading:
    """Read the weights in the safetensors files of `folder`, of each tensor the same share where all of them have more
    than `most` bytes.

    Raises `ModelError` where a number that was read is NaN or infinite, and as `stored_tensors`.
    """
    tensors = {name: one for name, one in stored_tensors(folder).items() if one.dtype.is_floating_point}
    total, read = sum(one.size for one in tensors.values()), 0
    space = torch.empty(PIECE, dtype=torch.uint8)
    for name, tensor in tensors.items():
        size = tensor.size if total <= most else tensor.size * most // total
        size = min(tensor.size, size + -size % tensor.dtype.itemsize)
        if not _finite(tensor, size, space):
            raise ModelError(
                f"{tensor.file}: the tensor {name} contains NaN or infinite values; restore the file, or create it "
                "again."
            )
        read += size
    return Reading(read, total)


def _finite(tensor: StoredTensor, size: int, space: torch.Tensor) -> bool:
    """Whether the numbers in the first `size` bytes are finite; `space` holds a piece of them."""
    handle = os.open(tensor.file, os.O_RDONLY)
    try:
        for at in range(0, size, PIECE):
            piece = space[: min(PIECE, size - at)]
            tensor.fill(raw(piece), handle, at)
            if mask := IN_8_BITS.get(tensor.dtype):
                if (piece.bitwise_and_(mask) == mask).any():
                    return False
                continue
            numbers = piece.view(tensor.dtype)
            # a sum is not finite where a number is not, and takes one pass; of large numbers it may be so by itself
            if not torch.isfinite(numbers.sum(dtype=torch.float32)) and not torch.isfinite(numbers).all():
                return False
    finally:
        os.close(handle)
    return True
