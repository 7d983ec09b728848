"""Records from files: one for each line, item or table row, in order, with its place; a few in memory at once."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from tasks.clean import tables
from tasks.clean.csv import from_csv
from tasks.clean.files import Source
from tasks.clean.formats import HEAD, Format, open_decompressed, recognise
from tasks.clean.record import LONGEST, SHOWN, Record
from tasks.core.errors import InputError

DEEPEST = 5000
"""Levels of the deepest JSON list that is read; the parser needs memory in proportion to their square."""

BLANK = 5 * 10**6
"""Blank lines that may follow each other: a file that is packed can hold any number of them."""


class Line(NamedTuple):
    """A line of JSON that is yet to be parsed."""

    number: int
    content: bytes


def records(source: Source) -> Iterator[Record]:
    """Every record of one file. Faulty ones come with a `fault`; a file that is unreadable as a whole is an error."""
    for part in unparsed(source):
        yield from parsed(source, part)


def unparsed(source: Source) -> Iterator[Line | tables.TableRows | Record]:
    """What `parsed` makes the records of, as it is quickly read."""
    format = recognise(source.path)
    match format.kind:
        case "parquet":
            yield from tables.from_parquet(source)
        case "arrow" | "arrow_stream":
            yield from tables.from_arrow(source, format)
        case "csv" | "tsv":
            yield from from_csv(source, format)
        case "document":
            yield from _document(source, format)
        case "prose":
            yield from _prose(source, format)
        case _:
            yield from _lines(source, format)


def parsed(source: Source, part: Line | tables.TableRows | Record) -> Iterator[Record]:
    """The records of a part; the file itself is not needed any more."""
    if isinstance(part, Line):
        yield _parsed(source, part.number, part.content)
    elif isinstance(part, tables.TableRows):
        yield from tables.rows(source, part)
    else:
        yield part


def _lines(source: Source, format: Format) -> Iterator[Line | Record]:
    """JSON Lines; blank lines are no records."""
    with open_decompressed(source.path, format.compression) as file:
        number = blank = 0
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
            blank = 0 if line.strip() else blank + 1
            if blank > BLANK:
                raise InputError(f"{source.path}: more than {BLANK:,} blank lines up to line {number:,}; remove them.")
            if not blank:
                yield Line(number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)


def _parsed(source: Source, number: int, line: bytes) -> Record:
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        return Record(source, number, None, line.decode("utf-8", "backslashreplace").strip(), "bad_encoding")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return Record(source, number, None, text, "parse_error")
    except ValueError:  # Python reads no number of more than 4300 digits
        return Record(source, number, None, text, "huge_number")
    except RecursionError:
        return Record(source, number, None, text, "too_deep")
    return _record(source, number, value, text)


def _record(source: Source, number: int, value: Any, text: str | None = None) -> Record:
    if not isinstance(value, dict):
        raw = json.dumps(value, ensure_ascii=False, default=str) if text is None else text
        return Record(source, number, None, raw, "not_an_object")
    return Record(source, number, value, text)


def _document(source: Source, format: Format) -> Iterator[Record]:
    """A JSON list of objects, item by item, or objects, each over as many lines as it likes."""
    import ijson

    number, parser = 0, ijson
    while True:
        try:
            _check_depth(source, format, parser)
            for value in islice(_items(source, format, parser), number, None):
                number += 1
                yield _record(source, number, value)
            return
        except (ijson.JSONError, ValueError, RecursionError) as error:
            message = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error).encode()
            if b"integer overflow" in message and parser is ijson:
                parser = ijson.get_backend("python")  # slow; reads whole numbers of more than 64 bits
                continue
            shown = " ".join(message.decode("utf-8", "backslashreplace").split())[:200]
            raise InputError(f"{source.path}: not valid JSON after {number} items: {shown}. {_advice(shown)}") from None


def _advice(message: str) -> str:
    """What to do about JSON that is refused, as far as that can be seen."""
    if "NaN" in message or "Infinity" in message:
        return "JSON has no such numbers; write null."
    if re.search(r"\d{99}", message):
        return "Numbers have at most 4300 digits; write it as a text."
    return "One object a line? Name it .jsonl."


def _items(source: Source, format: Format, parser: Any) -> Iterator[Any]:
    """The values of a document. `parser`: one of ijson's."""
    with open_decompressed(source.path, format.compression) as file:
        head = file.read(HEAD)
    with open_decompressed(source.path, format.compression) as file:
        file.read(3 if head.startswith(b"\xef\xbb\xbf") else 0)
        is_list = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
        yield from parser.items(file, "item" if is_list else "", use_float=True, multiple_values=not is_list)


def _check_depth(source: Source, format: Format, parser: Any) -> None:
    """Raise `InputError` where the file nests deeper than `DEEPEST`; brackets are counted first, for that is quick."""
    level = 0
    with open_decompressed(source.path, format.compression) as file:
        while part := file.read(2**14):
            opening = part.count(b"[") + part.count(b"{")
            if level + opening > DEEPEST:
                break
            level = max(0, level + opening - part.count(b"]") - part.count(b"}"))
        else:
            return
    level = 0
    with open_decompressed(source.path, format.compression) as file:
        for event, _ in parser.basic_parse(file, use_float=True):
            level += event.startswith("start_") - event.startswith("end_")
            if level > DEEPEST:
                raise InputError(f"{source.path}: lists or objects nest deeper than {DEEPEST} levels; fix the file.")


def _prose(source: Source, format: Format) -> Iterator[Record]:
    """A text file is one row of raw text."""
    with open_decompressed(source.path, format.compression) as file:
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
