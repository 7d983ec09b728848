"""What the columns of each matrix are multiplied with over rows of text: the importance matrix of llama.cpp (imatrix).

    importance = measure(Path("model-f32.gguf"), rows)
    importance["blk.0.ffn_down.weight"]  # (1, columns)

llama.cpp runs the file, and shows each product before it goes on. Rounding then spares the columns that count.

Shapes: `E` matrices in a tensor (experts; else 1), `C` columns of a matrix, `T` tokens.
"""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.core.errors import MachineError
from tasks.core.paths import PATHS
from tasks.models.gguf.library import F32, PACKAGE, library
from tasks.models.gguf.model import LlamaCpp

Importance = dict[str, npt.NDArray[np.float32]]
"""Mean squares (E, C) by the name of the tensor in the file."""

FLOOR = 1e-6
"""Least importance of a column, as a share of the mean: where all of a block are 0, nothing would be rounded to it."""

PRODUCT, ROUTED = b"MUL_MAT", b"MUL_MAT_ID"
"""ggml's names for matrix times vectors, and for those of experts that a router chose."""


class Tensor(ctypes.Structure):
    """ggml_tensor up to its name, as ggml.h documents it."""

    _fields_ = [
        ("type", ctypes.c_int32),
        ("buffer", ctypes.c_void_p),
        ("sizes", ctypes.c_int64 * 4),
        ("strides", ctypes.c_size_t * 4),
        ("operation", ctypes.c_int32),
        ("parameters", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("sources", ctypes.c_void_p * 10),
        ("view_of", ctypes.c_void_p),
        ("view_offset", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
    ]

    def array(self, kind: Any) -> npt.NDArray[Any]:
        """Its numbers, which are of numpy's type `kind`, where they lie; the last dimension is the innermost."""
        size = sum((count - 1) * stride for count, stride in zip(self.sizes, self.strides, strict=True))
        raw = np.frombuffer((ctypes.c_byte * (size + np.dtype(kind).itemsize)).from_address(self.data), np.uint8)
        return np.ndarray(tuple(self.sizes)[::-1], kind, raw.data, strides=tuple(self.strides)[::-1])


class _Sums:
    """Squares of what the columns were multiplied with, summed up, and how often."""

    def __init__(self) -> None:
        self.squares: dict[str, npt.NDArray[np.float64]] = {}
        self.counts: dict[str, npt.NDArray[np.int64]] = {}

    def __call__(self, address: int, ask: bool, _: Any) -> bool:
        """What llama.cpp calls before it computes a tensor (`ask`: shall it be shown?), and after it."""
        kind = library().ggml_op_desc(address)
        if kind not in (PRODUCT, ROUTED):
            return False
        weight, inputs, chosen = (_tensor(source) for source in Tensor.from_address(address).sources[:3])
        name = weight.name.decode()
        if not name.startswith("blk.") or inputs.type != F32:  # the head as an embedding counts in another way
            return False
        if not ask:
            self._add(name, weight, inputs, chosen if kind == ROUTED else None)
        return True

    def _add(self, name: str, weight: Any, inputs: Any, chosen: Any) -> None:
        columns, experts = weight.sizes[0], weight.sizes[2] if chosen else 1
        squares = self.squares.setdefault(name, np.zeros((experts, columns)))
        counts = self.counts.setdefault(name, np.zeros(experts, np.int64))
        numbers = inputs.array(np.float32)[0]  # (T, inputs of a token, C) where experts are chosen
        if chosen is None:
            squares[0] += np.square(numbers, dtype=np.float64).reshape(-1, columns).sum(0)
            counts[0] += numbers.size // columns
            return
        routes = chosen.array(np.int32)[0, 0]  # (T, experts of a token)
        for token, route in enumerate(routes):
            for number, expert in enumerate(route):
                squares[expert] += np.square(numbers[token, number % numbers.shape[1]], dtype=np.float64)
                counts[expert] += 1


def measure(file: Path, rows: list[list[int]]) -> Importance:
    """The importance of each matrix that llama.cpp multiplies with while it computes `rows`; only in a process apart.

    An expert that no token reached counts each column alike.
    """
    sums = _Sums()
    model = LlamaCpp(file, watch=sums)
    for row in rows:
        model.compute(row)  # of a token without logits the last layer is left out
    result = {}
    for name, squares in sums.squares.items():
        means = squares / np.maximum(sums.counts[name], 1)[:, None]
        means = np.maximum(means, FLOOR * means.mean(1, keepdims=True))
        means[means.sum(1) == 0] = 1
        result[name] = means.astype(np.float32)
    return result


def _tensor(address: int | None) -> Any:
    """The tensor at `address`. Raises `MachineError` where llama.cpp lays tensors out in another way."""
    if not address:
        return None
    tensor = Tensor.from_address(address)
    if library().ggml_get_name(address) != tensor.name or library().ggml_get_data(address) != tensor.data:
        raise MachineError(f"{PACKAGE}: not the tested version; run: pip install --requirement {PATHS.requirements}")
    return tensor
