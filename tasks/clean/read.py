"""Records from files: one for each line, item or table row, in order, with its place; a few in memory at once."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasks.clean.files import Source
from tasks.clean.formats import HEAD, Format, opened, recognise
from tasks.contract.errors import InputError

LONGEST = 2**26
"""Bytes of the longest line that is parsed."""

SHOWN = 2**20
"""Characters kept of a record that leaves; the file and the line say where the rest is."""

DEEPEST = 5000
"""Levels of the deepest JSON list that is read; the parser needs memory in proportion to their square."""

BATCH = 1024
"""Rows of a table that are in memory at once."""


@dataclass(frozen=True)
class Record:
    """One record as it stands in a file, or why it could not be read."""

    source: Source
    line: int
    """Line in a text file, item in a JSON list, row in a table; from 1."""
    value: dict[str, Any] | None
    text: str | None = None
    """The record as it stands in the file, where that is text."""
    fault: str | None = None
    """Reason why `value` is None."""

    @cached_property
    def raw(self) -> str:
        """The record as text, for those that leave."""
        text = json.dumps(self.value, ensure_ascii=False, default=str) if self.text is None else self.text
        cut = text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text)} characters)"
        return cut if cut.isascii() else cut.encode("utf-8", "backslashreplace").decode()


def records(source: Source) -> Iterator[Record]:
    """Every record of one file. Faulty ones come with a `fault`; a file that is unreadable as a whole is an error."""
    found = recognise(source.path)
    match found.kind:
        case "parquet":
            yield from _parquet(source)
        case "arrow" | "arrow_stream":
            yield from _arrow(source, found)
        case "csv" | "tsv":
            yield from _separated(source, found)
        case "document":
            yield from _document(source, found)
        case "prose":
            yield from _prose(source, found)
        case _:
            yield from _lines(source, found)


def _lines(source: Source, found: Format) -> Iterator[Record]:
    """JSON Lines; blank lines are no records."""
    with opened(source.path, found.compression) as file:
        number = 0
        while line := file.readline(LONGEST):
            number += 1
            if len(line) == LONGEST and not line.endswith(b"\n"):
                rest = 0
                while more := file.readline(LONGEST):
                    rest += len(more)
                    if more.endswith(b"\n"):
                        break
                shown = line[:SHOWN].decode("utf-8", "backslashreplace")
                text = f"{shown} … ({LONGEST + rest} bytes)"
                yield Record(source, number, None, text, "too_long_line")
                continue
            if b"\0" in line:
                raise InputError(f"{source.path}: line {number} has a NUL byte, so this is no text; remove the file.")
            if line.strip():
                yield _parsed(source, number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)


def _parsed(source: Source, number: int, line: bytes) -> Record:
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        return Record(source, number, None, line.decode("utf-8", "backslashreplace").strip(), "bad_encoding")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Record(source, number, None, text, "parse_error")
    return _record(source, number, value, text)


def _record(source: Source, number: int, value: Any, text: str | None = None) -> Record:
    if not isinstance(value, dict):
        raw = json.dumps(value, ensure_ascii=False, default=str) if text is None else text
        return Record(source, number, None, raw, "not_an_object")
    return Record(source, number, value, text)


def _document(source: Source, found: Format) -> Iterator[Record]:
    """A JSON list of objects, item by item, or one object."""
    import ijson

    number = 0
    try:
        with opened(source.path, found.compression) as file:
            head = file.read(HEAD)
        with opened(source.path, found.compression) as file:
            file.read(3 if head.startswith(b"\xef\xbb\xbf") else 0)
            is_list = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
            _check_depth(source, found)
            for value in ijson.items(file, "item" if is_list else "", use_float=True):
                number += 1
                yield _record(source, number, value)
    except (ijson.JSONError, ValueError, RecursionError) as error:
        said = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error).encode()
        told = " ".join(said.decode("utf-8", "backslashreplace").split())[:200]
        raise InputError(
            f"{source.path}: not valid JSON after {number} items: {told}. One object a line? Name it .jsonl."
        ) from None


def _check_depth(source: Source, found: Format) -> None:
    """Raise `InputError` where the file nests deeper than `DEEPEST`; brackets are counted first, for that is quick."""
    import ijson

    level = 0
    with opened(source.path, found.compression) as file:
        while part := file.read(2**14):
            opening = part.count(b"[") + part.count(b"{")
            if level + opening > DEEPEST:
                break
            level = max(0, level + opening - part.count(b"]") - part.count(b"}"))
        else:
            return
    level = 0
    with opened(source.path, found.compression) as file:
        for event, _ in ijson.basic_parse(file):
            level += event.startswith("start_") - event.startswith("end_")
            if level > DEEPEST:
                raise InputError(f"{source.path}: lists or objects nest deeper than {DEEPEST} levels; mend the file.")


def _separated(source: Source, found: Format) -> Iterator[Record]:
    """CSV or TSV with a header; every value stays the text it is."""
    csv.field_size_limit(LONGEST)
    with opened(source.path, found.compression) as binary:
        file = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter="\t" if found.kind == "tsv" else ",")
        try:
            header = next(reader, [])
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise InputError(f"{source.path}: the column '{twice}' stands twice in the header; rename one.")
            line = reader.line_num + 1
            for cells in reader:
                start, line = line, reader.line_num + 1
                if lines.ended and line > start + 1:
                    raise InputError(
                        f"{source.path}: a quotation mark in the row at line {start} is never closed, so that "
                        f'{line - start - 1} lines below would be part of it; close it, or write "" where one is meant.'
                    )
                if not cells:
                    continue
                text = json.dumps(cells, ensure_ascii=False)
                if len(cells) != len(header):
                    yield Record(source, start, None, text, "ragged_line")
                elif not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text):
                    yield Record(source, start, None, text, "bad_encoding")
                else:
                    yield Record(source, start, dict(zip(header, cells, strict=True)))
        except csv.Error as error:
            raise InputError(f"{source.path}: line {reader.line_num}: not readable as {found.kind}: {error}.") from None


class _Lines:
    """Lines of a file; whether their reader asked for one beyond the last, as it does for the end of a quotation."""

    def __init__(self, file: Iterable[str]) -> None:
        self._file = file
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        yield from self._file
        self.ended = True


def _prose(source: Source, found: Format) -> Iterator[Record]:
    """A text file is one row of raw text."""
    with opened(source.path, found.compression) as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        yield Record(source, 1, None, content[:SHOWN].decode("utf-8", "backslashreplace"), "too_long_line")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield Record(source, 1, None, content.decode("utf-8", "backslashreplace"), "bad_encoding")
        return
    yield Record(source, 1, {"text": text})


def _parquet(source: Source) -> Iterator[Record]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source.path) as file:
            yield from _rows(source, file.iter_batches(BATCH))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{source.path}: not a readable Parquet file: {error}") from None


def _arrow(source: Source, found: Format) -> Iterator[Record]:
    import pyarrow as pa

    try:
        if found.kind == "arrow":
            with pa.memory_map(str(source.path)) as mapped, pa.ipc.open_file(mapped) as reader:
                yield from _rows(source, (reader.get_batch(index) for index in range(reader.num_record_batches)))
        else:
            with opened(source.path, found.compression) as file, pa.ipc.open_stream(file) as reader:
                yield from _rows(source, reader)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{source.path}: not a readable Arrow file: {error}") from None


def _rows(source: Source, batches: Any) -> Iterator[Record]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH):
            rows = batch.slice(start, BATCH)
            try:
                values = rows.to_pylist()
            except UnicodeDecodeError:
                yield from (_encoded(source, number + at + 1, rows.slice(at, 1)) for at in range(rows.num_rows))
                number += rows.num_rows
                continue
            for value in values:
                number += 1
                yield Record(source, number, value)


def _encoded(source: Source, number: int, row: Any) -> Record:
    """The record of a table with one row, in which texts may be no UTF-8."""
    readable = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            readable[name] = column[0].as_py()
        except UnicodeDecodeError:
            continue
    if len(readable) == row.num_columns:
        return Record(source, number, readable)
    return Record(source, number, None, json.dumps(readable, ensure_ascii=False, default=str), "bad_encoding")
