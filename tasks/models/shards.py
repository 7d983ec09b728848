"""safetensors files, read tensor by tensor, so that memory holds one tensor and not a file.

The format (version 0.8 of the library): 8 bytes with the length of a JSON header, the header, the tensors' bytes.
Reading goes through plain reads, not a memory map, so that a page once read need not stay.
"""

import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from tasks.core.errors import ModelError
from tasks.core.json_files import read_as
from tasks.core.numbers import counted

INDEX = "model.safetensors.index.json"
"""Which file holds which tensor, where there are several."""

TYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn, "I16": torch.int16, "F16": torch.float16, "BF16": torch.bfloat16,
    "I32": torch.int32, "F32": torch.float32, "F64": torch.float64, "I64": torch.int64,
}  # fmt: skip
"""Types by their names in the header, in the library's order; a file holds the last of these first."""

LONGEST = 100 * 10**6
"""Bytes of the longest header, as the library has it."""

Whole = Annotated[int, Field(ge=0, lt=2**63, strict=True)]


class _Index(BaseModel):
    """What stands in the index."""

    weight_map: dict[str, Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]]
    """File, in the same folder, by tensor."""


class _Facts(BaseModel):
    """What a header says of a tensor."""

    dtype: str
    shape: list[Whole]
    data_offsets: tuple[Whole, Whole]
    """First byte, and the one behind the last, from the end of the header."""


_HEADER = TypeAdapter(dict[str, _Facts])


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor is, apart from its numbers."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class StoredTensor(TensorSpec):
    """Where a tensor lies."""

    file: Path
    start: int
    """Byte in the file."""

    def read(self) -> torch.Tensor:
        """The tensor, in memory of its own."""
        tensor = torch.empty(self.shape, dtype=self.dtype)
        handle = os.open(self.file, os.O_RDONLY)
        try:
            self.fill(raw(tensor), handle, 0)
        finally:
            os.close(handle)
        return tensor

    def fill(self, space: memoryview, handle: int, at: int) -> None:
        """Fill `space` with the tensor's bytes from the byte `at` on; `handle` is its file, open."""
        done = 0
        while done < len(space):
            count = os.preadv(handle, [space[done:]], self.start + at + done)
            if not count:
                raise ModelError(f"{self.file}: ends before its last tensor; restore the file.")
            done += count

    def row(self, number: int) -> torch.Tensor:
        """One row of a matrix."""
        width = prod(self.shape[1:])
        return self.part(number * width, width).reshape(self.shape[1:])

    def part(self, start: int, count: int) -> torch.Tensor:
        """`count` of its numbers from number `start` on, in one dimension."""
        return StoredTensor(self.dtype, (count,), self.file, self.start + start * self.dtype.itemsize).read()


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor in the safetensors files of `folder`, by name, in the order of files and places.

        weight = stored_tensors(folder)["lm_head.weight"].read()  # reads this one only

    Raises `ModelError` for a file that is cut off or is none, a tensor that occurs twice, and one that the index names
    and no file holds.
    """
    tensors: dict[str, StoredTensor] = {}
    index = folder / INDEX
    remedy = "restore the files of the model"
    named = read_as(_Index, index, ModelError, remedy).weight_map if os.path.lexists(index) else {}
    for file in [folder / name for name in sorted(set(named.values()))] or sorted(folder.glob("*.safetensors")):
        if not file.is_file():
            raise ModelError(f"{file}: no such file, but {INDEX} names it; restore the files of the model.")
        for name, tensor in _header(file).items():
            if name in tensors:
                raise ModelError(f"{file}: {tensors[name].file.name} holds the tensor {name} too; remove one of them.")
            tensors[name] = tensor
    if missing := sorted(set(named) - set(tensors)):
        raise ModelError(
            f"{folder}: {INDEX} names {counted(len(missing), 'tensors')} that no file holds, such as {missing[0]} in "
            f"{named[missing[0]]}; restore the files of the model."
        )
    if not tensors:
        raise ModelError(f"{folder}: no tensor in any *.safetensors file; give a model with safetensors weights.")
    return tensors


def raw(tensor: torch.Tensor) -> memoryview:
    """The bytes of a contiguous tensor, not copied."""
    array: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(array)


def _header(file: Path) -> dict[str, StoredTensor]:
    size = file.stat().st_size
    try:
        with file.open("rb") as source:
            length = int.from_bytes(source.read(8), "little")
            if length > min(size - 8, LONGEST):
                raise ValueError("the header is cut off")
            header: dict[str, Any] = json.loads(source.read(length))
        header.pop("__metadata__", None)
        described = _HEADER.validate_python(header)
        tensors = {name: _stored(name, facts, file, 8 + length) for name, facts in described.items()}
    except ValidationError as error:
        fault = error.errors()[0]
        where = " ".join(str(part) for part in fault["loc"])
        raise ModelError(f"{file}: the header is wrong at {where}: {fault['msg'].lower()}; restore the file.") from None
    except RecursionError:
        raise ModelError(f"{file}: the header is nested too deep; restore the file.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file}: not a safetensors file that can be read here ({error}); restore it.") from None
    if any(tensor.start + tensor.size > size for tensor in tensors.values()):
        raise ModelError(f"{file}: ends before its last tensor, at {size:,} bytes; restore the file.")
    ordered = dict(sorted(tensors.items(), key=lambda pair: (pair[1].start, pair[1].size)))
    end = 8 + length
    for name, tensor in ordered.items():
        if tensor.start < end:
            raise ModelError(f"{file}: the tensor {name} overlaps another one; restore the file.")
        end = tensor.start + tensor.size
    return ordered


def _stored(name: str, facts: _Facts, file: Path, start: int) -> StoredTensor:
    """Where a tensor lies; raises `ValueError` where what its header says does not agree with itself."""
    if facts.dtype not in TYPES:
        raise ValueError(f"the tensor {name} has the unknown type {facts.dtype[:40]}")
    first, end = facts.data_offsets
    tensor = StoredTensor(TYPES[facts.dtype], tuple(facts.shape), file, start + first)
    if end - first != tensor.size:
        raise ValueError(f"the tensor {name} takes {tensor.size} bytes by its shape, but {end - first} by its offsets")
    return tensor
