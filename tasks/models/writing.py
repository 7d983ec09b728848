"""safetensors files, written tensor by tensor: each is made when its turn comes, so memory holds a few and not a file.

The library writes whole files only; these are the same to the byte. A thread makes a tensor, or reads it, and writes it
at its place; two work side by side, and a file goes to the disk while the next one is made.
"""

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from threading import local
from typing import Any, Protocol, runtime_checkable

import torch

from tasks.core.errors import MachineError, ModelError
from tasks.core.files import write_json
from tasks.models.shards import INDEX, TYPES, StoredTensor, TensorSpec, raw

NAMES = {dtype: name for name, dtype in TYPES.items()}

PIECE = 2**18
"""Bytes read or written at a time. They stay in the processor's cache; and for a larger write Linux looks for a
megabyte or two of memory in one place, which can take longer than the writing."""

WORKERS = 2
"""Threads that make tensors. Each tensor is made by one, so their number does not change the result."""

AHEAD = 3
"""Tensors that are being made or wait for it, at most."""

_own = local()


@runtime_checkable
class Pieces(Protocol):
    """What makes a tensor piece by piece."""

    def pieces(self) -> Iterator[memoryview]:
        """Its bytes, in their order."""


@dataclass(frozen=True)
class PlannedTensor(TensorSpec):
    """A tensor that will be written: its type and shape now, its bytes when its turn comes."""

    make: Callable[[], torch.Tensor] | StoredTensor | Pieces
    """Makes it, whole or piece by piece; or where to copy it from as it is."""


def write(
    folder: Path,
    files: dict[str, dict[str, PlannedTensor]],
    done: Callable[[int], None] = lambda _: None,
    workers: int = WORKERS,
) -> None:
    """Write `files` (name of the file, then of the tensor) into `folder`, with an index where they are several.

    `done` gets the bytes written so far. With one of `workers` the tensors are made in the order of `order`. Raises
    `MachineError` at once where the disk has too little room.
    """
    needed = sum(tensor.size for tensors in files.values() for tensor in tensors.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MachineError(
            f"{folder.parent}: the model needs {needed:,} bytes, but the disk has only {free:,} free; free "
            f"{needed - free:,} bytes and run again: finished stages are kept."
        )
    total = 0
    pending: deque[tuple[_Job, Future[None]]] = deque()
    synced: list[Future[None]] = []
    with ExitStack() as opened, ThreadPoolExecutor(workers) as makers, ThreadPoolExecutor(1) as syncer:
        jobs: Iterator[_Job | None] = chain(_jobs(folder, files, opened), [None])
        for job in jobs:
            while len(pending) == AHEAD or (pending and job is None):
                first, future = pending.popleft()
                future.result()
                if first.last:
                    synced.append(syncer.submit(os.fsync, first.target))
                total += first.planned.size
                done(total)
            if job:
                pending.append((job, makers.submit(job.write)))
        for file in synced:
            file.result()
    if len(files) > 1:
        places = {name: file for file, tensors in files.items() for name in tensors}
        parameters = sum(prod(tensor.shape) for tensors in files.values() for tensor in tensors.values())
        write_json(
            folder / INDEX,
            {"metadata": {"total_parameters": parameters, "total_size": needed}, "weight_map": places},
        )


@dataclass(frozen=True)
class _Job:
    """A tensor, and where it goes."""

    name: str
    planned: PlannedTensor
    target: int
    """Handle of the file."""
    at: int
    """Byte in it."""
    last: bool
    """Whether it is the last one of the file."""

    def write(self) -> None:
        """Make the tensor, or read it piece by piece, and write it."""
        planned = self.planned
        if isinstance(planned.make, StoredTensor):
            self._copy(planned.make)
            return
        if isinstance(planned.make, Pieces):
            self._stream(planned.make)
            return
        tensor = planned.make()
        if tensor.dtype != planned.dtype or tuple(tensor.shape) != planned.shape:
            raise ModelError(
                f"{self.name}: came as {tensor.dtype} {tuple(tensor.shape)}, not as {planned.dtype} {planned.shape}."
            )
        _put(self.target, raw(tensor.contiguous()), self.at)

    def _stream(self, source: Pieces) -> None:
        at = self.at
        for piece in source.pieces():
            _put(self.target, piece, at)
            at += len(piece)
        if at != self.at + self.planned.size:
            raise ModelError(f"{self.name}: came as {at - self.at:,} bytes, not as {self.planned.size:,}.")

    def _copy(self, stored_tensor: StoredTensor) -> None:
        if not hasattr(_own, "piece"):
            _own.piece = memoryview(bytearray(PIECE))
        source = os.open(stored_tensor.file, os.O_RDONLY)
        try:
            for at in range(0, stored_tensor.size, PIECE):
                piece = _own.piece[: min(PIECE, stored_tensor.size - at)]
                stored_tensor.fill(piece, source, at)
                _put(self.target, piece, self.at + at)
        finally:
            os.close(source)


def _jobs(folder: Path, files: dict[str, dict[str, PlannedTensor]], opened: ExitStack) -> Iterator[_Job]:
    """Every tensor in the order of its place; a file is opened, and its header written, when its first one comes."""
    for file, tensors in files.items():
        target = opened.enter_context((folder / file).open("wb", buffering=0)).fileno()
        head, names = _head(tensors), order(tensors)
        _put(target, memoryview(head), 0)
        at = len(head)
        for name in names:
            yield _Job(name, tensors[name], target, at, name == names[-1])
            at += tensors[name].size


def order(tensors: dict[str, PlannedTensor]) -> list[str]:
    """The names of `tensors` as they stand in their file."""
    kinds = list(TYPES.values())
    return sorted(tensors, key=lambda name: (-kinds.index(tensors[name].dtype), name))


def _head(tensors: dict[str, PlannedTensor]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order(tensors):
        tensor = tensors[name]
        offsets = [offset, offset + tensor.size]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        offset += tensor.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _put(target: int, view: memoryview, at: int) -> None:
    """Write all of it at the byte `at`: a write may stop early, as on a disk that fills."""
    while view:
        count = os.pwrite(target, view[:PIECE], at)
        view, at = view[count:], at + count
