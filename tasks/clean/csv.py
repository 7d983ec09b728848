"""CSV and TSV with a header: every value stays the text it is, and a quotation mark swallows no rows.

A quotation that opens by mistake goes on to the next mark, some rows below. Where what follows that mark shows that it
closes nothing, the row in which the quotation opened leaves alone (`unclosed_quote`), and the lines below it are read
anew.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Iterator
from typing import IO, Any

from tasks.clean.files import Source
from tasks.clean.formats import Format, open_decompressed
from tasks.clean.record import LONGEST, Record
from tasks.core.errors import InputError


def from_csv(source: Source, format: Format) -> Iterator[Record]:
    """Every row below the header, with the line at which it begins. Raises `InputError` for a table as a whole."""
    csv.field_size_limit(LONGEST)
    with open_decompressed(source.path, format.compression) as binary:
        lines = _Lines(io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline=""))
        try:
            yield from _rows(source, lines, "\t" if format.kind == "tsv" else ",")
        except csv.Error as error:
            raise InputError(f"{source.path}: line {lines.number}: not readable as {format.kind}: {error}.") from None


def _rows(source: Source, lines: "_Lines", mark: str) -> Iterator[Record]:
    reader = csv.reader(lines, delimiter=mark, strict=True)
    header = _cells(source, reader, lines, mark)
    if header is None:
        raise InputError(f"{source.path}: a quotation mark in the header is never closed; close it.")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{source.path}: the header has the column '{twice}' twice; rename one.")
    doubted = 0  # the last line that a quotation had swallowed
    while True:
        start = lines.number + 1
        cells = _cells(source, reader, lines, mark)
        if lines.ended and not lines.row:
            return
        single = len(lines.row) == 1
        if cells is None or (single and start <= doubted and lines.row[0].count('"') % 2):
            doubted = max(doubted, lines.number)
            yield Record(source, start, None, lines.again(), "unclosed_quote")
        elif cells:
            yield _record(source, start, header, cells, lines)


def _cells(source: Source, reader: Any, lines: "_Lines", mark: str) -> list[str] | None:
    """The cells of the next row, none of an empty line or of the end; None where a quotation swallows lines."""
    lines.row.clear()
    try:
        cells: list[str] = next(reader, [])
    except csv.Error as error:
        if lines.ended and len(lines.row) > 1:
            raise InputError(
                f"{source.path}: a quotation mark in the row at line {lines.number - len(lines.row) + 1} is never "
                f'closed, so that {len(lines.row) - 1} lines below would be part of it; close it, or write "" where '
                "one is meant."
            ) from None
        if "field larger" in str(error):
            raise
        return next(csv.reader(lines.row, delimiter=mark)) if len(lines.row) == 1 else None
    return cells


def _record(source: Source, start: int, header: list[str], cells: list[str], lines: "_Lines") -> Record:
    text = json.dumps(cells, ensure_ascii=False)
    if len(cells) != len(header):
        if len(lines.row) == 1:
            return Record(source, start, None, text, "ragged_line")
        return Record(source, start, None, f"lines {start} to {lines.number}: {text}", "ragged_lines")
    if not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text):
        return Record(source, start, None, text, "bad_encoding")
    return Record(source, start, dict(zip(header, cells, strict=True)))


class _Lines:
    """Lines of a file; those of the row that is being read are kept, to be read again."""

    def __init__(self, file: IO[str]) -> None:
        self._file = iter(file)
        self._again: deque[str] = deque()
        self.row: list[str] = []
        self.number = 0
        """The last line that was read, from 1."""
        self.ended = False
        """Whether a line beyond the last was asked for."""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._file, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.number += 1
        self.row.append(line)
        return line

    def again(self) -> str:
        """Give back all lines of the row but its first, which is returned without its end."""
        first, *others = self.row
        self._again.extendleft(reversed(others))
        self.number -= len(others)
        return first.rstrip("\r\n")
