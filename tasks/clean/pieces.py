"""Records of a file as pieces of work: lines that are yet to be parsed, parts of tables, or records as they are.

A piece is small beside what is made of it, and bounded in rows and bytes; it needs nothing of the file any more.
"""

import inspect
import pickle
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.clean import read
from tasks.clean.files import Source
from tasks.clean.read import Line
from tasks.clean.record import Record
from tasks.clean.tables import TableRows

ROWS = 512
"""Records of a piece, at most: a tenth of a second of work, and what the processor's cache can hold of it."""

BYTES = 2**21
"""Bytes or characters after which a piece ends."""

DEEPEST = 200
"""Levels of a value that can travel to another process."""

LEVELS = 1000
"""Levels of calls that work on a record may take, wherever it is done: it is too deep everywhere or nowhere."""

Part = Line | TableRows | Record


@dataclass(frozen=True)
class Piece:
    """Records of one source, in order."""

    source: Source
    parts: tuple[Part, ...]

    def records(self) -> Iterator[Record]:
        """Every record, parsed."""
        for part in self.parts:
            yield from read.parsed(self.source, part)

    def content(self) -> bytes:
        """All that its records depend on, wherever the file lies."""
        parts = [
            (part.line, part.value, part.text, part.fault) if isinstance(part, Record) else part for part in self.parts
        ]
        return pickle.dumps((self.source.name, self.source.split, self.source.part, parts), 5)


def pieces(source: Source) -> Iterator[Piece]:
    """Every record of a file in pieces; raises `InputError` where it is unreadable as a whole."""
    parts: list[Part] = []
    size = rows = before = 0
    for part in read.unparsed(source):
        parts.append(part)
        size += _size(part)
        rows += part.rows if isinstance(part, TableRows) else 1
        if source.most is not None and before + rows >= source.most:
            break
        if rows >= ROWS or size >= BYTES:
            yield Piece(source, tuple(parts))
            before += rows
            parts, size, rows = [], 0, 0
    if parts:
        yield Piece(source, tuple(parts))


def travels(piece: Piece) -> bool:
    """Whether the piece can be sent to another process: no value of it nests too deep."""
    return all(not isinstance(part, Record) or _depth(part.value) <= DEEPEST for part in piece.parts)


@contextmanager
def same_depth(more: int = 0) -> Iterator[None]:
    """Within the block as many levels of calls are allowed as anywhere else, and `more`, whatever called it."""
    depth, frame = 0, inspect.currentframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + LEVELS + more)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _size(part: Part) -> int:
    if isinstance(part, Line):
        return len(part.content)
    if isinstance(part, TableRows):
        return int(part.batch.nbytes)
    return len(part.text or "") + _characters(part.value)


def _characters(value: Any) -> int:
    """Characters of all texts of a value, however deep."""
    total, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        total += len(one) if isinstance(one, str) else 0
        waiting += _inner(one)
    return total


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [inner for one in level for inner in _inner(one)]:
        depth += 1
    return depth


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
