"""Records of responses (`persist` in dvc.yaml): what two of them have, in one, so that restoring loses nothing."""

from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tasks.core.files import written
from tasks.teacher.response_store import EMPTY, LINE


class _Line(NamedTuple):
    """A line of a record, in the order in which two of them are merged."""

    key: str
    place: int
    kind: str
    text: str


class _Differ(Exception):
    """The two cannot be one."""


def join(own: Path, other: Path) -> bool:
    """Add to the record `own` what only `other` has; False, and nothing written, where they differ about a request.

    A request that failed in `own` gives way to its response. What is no record, with its lines in the order of their
    keys, differs from every other. Neither file is held in memory.
    """
    try:
        with written(own) as aside, aside.open("w", encoding="utf-8") as file:
            for _, same in groupby(merge(_lines(own, 0), _lines(other, 1)), key=lambda line: line.key):
                file.write(_one(*same))
            if not file.tell():
                file.write(EMPTY)
    except (_Differ, UnicodeDecodeError):
        return False
    return True


def _lines(record: Path, place: int) -> Iterator[_Line]:
    last = ""
    with record.open(encoding="utf-8", newline="") as file:
        for text in file:
            if text == EMPTY:
                continue
            match = LINE.fullmatch(text)
            if not match or match[1] <= last:
                raise _Differ
            last = match[1]
            yield _Line(last, place, match[2], text)


def _one(first: _Line, second: _Line | None = None) -> str:
    if second is None or first.text == second.text:
        return first.text
    if (first.kind, second.kind) == ("failed", "response"):
        return second.text
    raise _Differ  # what came with the other record was made from other responses
