"""safetensors files, read and written tensor by tensor, so that memory holds one tensor and not a file.

The format (version 0.8 of the library): 8 bytes with the length of a JSON header, the header, the tensors' bytes. The
library writes whole files only; here a tensor is made when its turn comes, and the file is the same to the byte as the
library's. Reading goes through plain reads, not a memory map, so that a page once read need not stay.
"""

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from tasks.contract.errors import MachineError, ModelError
from tasks.contract.files import write_json

INDEX = "model.safetensors.index.json"
"""Which file holds which tensor, where there are several."""

TYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn, "I16": torch.int16, "F16": torch.float16, "BF16": torch.bfloat16,
    "I32": torch.int32, "F32": torch.float32, "F64": torch.float64, "I64": torch.int64,
}  # fmt: skip
"""Types by their names in the header, in the library's order; a file holds the last of these first."""

NAMES = {dtype: name for name, dtype in TYPES.items()}

PIECE = 4 * 2**20
"""Bytes copied at a time."""


AHEAD = 3
"""Tensors that are made before they are written, at most: one to write, two in the making."""

MAKERS = 2
"""Threads that make them. Each tensor is made by one, so their number does not change the result."""


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies."""

    file: Path
    start: int
    """Byte in the file."""
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * self.dtype.itemsize

    def read(self) -> torch.Tensor:
        """The tensor, in memory of its own."""
        made = torch.empty(self.shape, dtype=self.dtype)
        view = _raw(made)
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.start)
            done = 0
            while done < self.size:
                count = file.readinto(view[done:])
                if not count:
                    raise ModelError(f"{self.file}: ends before its last tensor; restore the file.")
                done += count
        return made

    def row(self, number: int) -> torch.Tensor:
        """One row of a matrix."""
        width = prod(self.shape[1:])
        return Stored(self.file, self.start + number * width * self.dtype.itemsize, self.dtype, self.shape[1:]).read()

    def pieces(self) -> Iterator[bytes]:
        """The tensor's bytes as they lie there."""
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.start)
            left = self.size
            while left:
                piece = file.read(min(left, PIECE))
                if not piece:
                    raise ModelError(f"{self.file}: ends before its last tensor; restore the file.")
                left -= len(piece)
                yield piece


@dataclass(frozen=True)
class Planned:
    """A tensor that will be written: its type and shape now, its bytes when its turn comes."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    make: "Callable[[], torch.Tensor] | Stored"
    """Makes it; or where to copy it from as it is."""

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * self.dtype.itemsize


def stored(folder: Path) -> dict[str, Stored]:
    """Every tensor in the safetensors files of `folder`, by name, in the order of files and places.

    Raises `ModelError` for a file that is cut off or is none, a tensor that stands twice, and one that the index names
    and no file holds.
    """
    found: dict[str, Stored] = {}
    index = folder / INDEX
    named: dict[str, str] = json.loads(index.read_text()).get("weight_map", {}) if index.is_file() else {}
    for file in [folder / name for name in sorted(set(named.values()))] or sorted(folder.glob("*.safetensors")):
        if not file.is_file():
            raise ModelError(f"{file}: no such file, but {INDEX} names it; restore the files of the model.")
        for name, tensor in _header(file).items():
            if name in found:
                raise ModelError(f"{file}: {found[name].file.name} holds the tensor {name} too; remove one of them.")
            found[name] = tensor
    if missing := sorted(set(named) - set(found)):
        raise ModelError(
            f"{folder}: {INDEX} names {len(missing)} tensors that no file holds, the first is {missing[0]} in "
            f"{named[missing[0]]}; restore the files of the model."
        )
    if not found:
        raise ModelError(f"{folder}: no tensor in any *.safetensors file; give a model with safetensors weights.")
    return found


def write(folder: Path, files: dict[str, dict[str, Planned]], done: Callable[[int], None] = lambda _: None) -> None:
    """Write `files` (name of the file, then of the tensor) into `folder`, with an index where they are several.

    `done` is told the bytes written so far. Raises `MachineError` at once where the disk has too little room.
    """
    needed = sum(tensor.size for tensors in files.values() for tensor in tensors.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MachineError(
            f"{folder.parent}: the model takes {needed:,} bytes and the disk has {free:,} free; free "
            f"{needed - free:,} bytes and run again: finished stages are kept."
        )
    total = 0
    with ThreadPoolExecutor(MAKERS, "merge") as ahead:  # tensors are made while those before them are written
        turns = deque((file, name) for file, tensors in files.items() for name in _order(tensors))
        pending: deque[Future[Iterator[Any]]] = deque()
        for file, tensors in files.items():
            with (folder / file).open("wb", buffering=0) as target:
                _all(target, _head(tensors))
                for _ in tensors:
                    while turns and len(pending) < AHEAD:
                        at, name = turns.popleft()
                        pending.append(ahead.submit(_bytes, name, files[at][name]))
                    for piece in pending.popleft().result():
                        _all(target, piece)
                        total += len(piece)
                        done(total)
                os.fsync(target.fileno())
    if len(files) > 1:
        places = {name: file for file, tensors in files.items() for name in tensors}
        parameters = sum(prod(tensor.shape) for tensors in files.values() for tensor in tensors.values())
        write_json(
            folder / INDEX,
            {"metadata": {"total_parameters": parameters, "total_size": needed}, "weight_map": places},
        )


def _header(file: Path) -> dict[str, Stored]:
    size = file.stat().st_size
    try:
        with file.open("rb") as source:
            length = int.from_bytes(source.read(8), "little")
            if length > size - 8:
                raise ValueError("the header is cut off")
            header: dict[str, Any] = json.loads(source.read(length))
        header.pop("__metadata__", None)
        tensors = {
            name: Stored(file, 8 + length + facts["data_offsets"][0], TYPES[facts["dtype"]], tuple(facts["shape"]))
            for name, facts in header.items()
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file}: not a safetensors file that can be read here ({error}); restore it.") from None
    if any(tensor.start + tensor.size > size for tensor in tensors.values()):
        raise ModelError(f"{file}: ends before its last tensor, at {size:,} bytes; restore the file.")
    return dict(sorted(tensors.items(), key=lambda pair: pair[1].start))


def _order(tensors: dict[str, Planned]) -> list[str]:
    kinds = list(TYPES.values())
    return sorted(tensors, key=lambda name: (-kinds.index(tensors[name].dtype), name))


def _head(tensors: dict[str, Planned]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name in _order(tensors):
        tensor = tensors[name]
        offsets = [place, place + tensor.size]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        place += tensor.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(name: str, planned: Planned) -> Iterator[Any]:
    """Pieces of the tensor's bytes; it is made now where it is to be made."""
    if isinstance(planned.make, Stored):
        return planned.make.pieces()
    made = planned.make()
    if made.dtype != planned.dtype or tuple(made.shape) != planned.shape:
        raise ModelError(f"{name}: came as {made.dtype} {tuple(made.shape)}, not as {planned.dtype} {planned.shape}.")
    whole = _raw(made.contiguous())
    return (whole[start : start + PIECE] for start in range(0, len(whole), PIECE))


def _raw(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor, not copied."""
    array: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(array)


def _all(target: Any, piece: Any) -> None:
    """Write all of it: an unbuffered write may stop early, as on a disk that fills."""
    view = memoryview(piece)
    while view:
        view = view[target.write(view) :]
