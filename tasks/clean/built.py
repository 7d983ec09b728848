"""What was made of a piece of the input: it goes from process to process, and into a file for later runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.clean import keys
from tasks.clean.notes import Notes
from tasks.clean.write import SCRATCH
from tasks.dedup.bags import Bags
from tasks.dedup.store import Hashed

_NOTES = b"notes"
_BESIDE = ("characters", "key", "words", "bands")
"""Columns of a file beside those of the rows; the last two hold the sets of words and the keys of their bands."""


@dataclass(frozen=True)
class Built:
    """What was made of the records of a piece."""

    rows: pa.RecordBatch
    """Lines of the scratch file, a line a record."""
    characters: Any
    """Of each record as it came, `[n]`."""
    keys: Any
    """The numbers of each record, `[n]` of `keys.DTYPE`."""
    notes: Notes
    signed: Hashed | None = None
    """The set of words of all that each record says, empty where it left, and its bands' keys, `[1 + bands, n]`; None
    where near-duplicates are not looked for."""

    def as_bytes(self) -> bytes:
        """An Arrow stream of one batch; `read` reads it."""
        columns = [*self.rows.columns, pa.array(self.characters), _binary(self.keys)]
        if self.signed is not None:
            bags, bands = self.signed
            offsets = np.append(0, np.cumsum(bags.sizes)).astype(np.int32)
            words = pa.ListArray.from_arrays(pa.array(offsets), pa.array(bags.words))
            columns += [words, _binary(np.ascontiguousarray(bands.T))]
        names = [*SCRATCH.names, *_BESIDE[: len(columns) - len(SCRATCH.names)]]
        batch = pa.RecordBatch.from_arrays(columns, names=names)
        batch = batch.replace_schema_metadata({_NOTES: self.notes.as_bytes()})
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    @classmethod
    def read(cls, content: bytes, notes: Notes) -> "Built":
        """What `as_bytes` wrote. `notes`: those of no row yet."""
        with pa.ipc.open_stream(content) as reader:
            batch = reader.read_next_batch()
        notes.restore(batch.schema.metadata[_NOTES])
        rows = pa.RecordBatch.from_arrays(batch.columns[: len(SCRATCH)], schema=SCRATCH)
        characters, numbers = (batch.column(name) for name in _BESIDE[:2])
        signed = None
        if batch.num_columns == len(SCRATCH) + len(_BESIDE):
            words, bands = (batch.column(name) for name in _BESIDE[2:])
            sizes = np.diff(words.offsets.to_numpy()).astype(np.int64)
            keys_of_bands = _numbers(bands, np.uint64).reshape(batch.num_rows, -1).T
            signed = (Bags(words.values.to_numpy(), sizes), np.ascontiguousarray(keys_of_bands))
        return cls(rows, characters.to_numpy(), _numbers(numbers, keys.DTYPE), notes, signed)

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.rows.serialize(), self.characters, self.keys, self.notes, self.signed)


def _received(rows: Any, characters: Any, numbers: Any, notes: Notes, signed: Hashed | None) -> Built:
    return Built(pa.ipc.read_record_batch(rows, SCRATCH), characters, numbers, notes, signed)


def _binary(values: Any) -> pa.Array:
    """Each of `values`, `[n, ...]`, as its bytes."""
    width = values.nbytes // len(values)
    return pa.Array.from_buffers(pa.binary(width), len(values), [None, pa.py_buffer(values)])


def _numbers(column: Any, kind: Any) -> Any:
    """The numbers that `_binary` wrote, one after the other."""
    whole = np.frombuffer(column.buffers()[1], np.uint8)
    width = column.type.byte_width
    return whole[column.offset * width : (column.offset + len(column)) * width].view(kind)
