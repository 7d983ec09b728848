"""Records from files: one for each line, item or table row, in the order of file names, with its place."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.clean import Splits
from tasks.contract.errors import InputError

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
"""What a data file's name ends in."""

BESIDE = frozenset({"ledger.json", "settings.json", "left_out.jsonl"})
"""What stages write beside their rows; never read as rows."""


@dataclass(frozen=True)
class Record:
    """One record as it stands in a file, or why it could not be read."""

    file: str
    """Path below the input, with forward slashes."""
    line: int
    """Line in a text file, item in a JSON list, row in a table; from 1."""
    split: str | None
    """The split that the file's name decides, or None."""
    value: dict[str, Any] | None
    raw: str
    """The record as text, for those that leave."""
    fault: str | None = None
    """Reason why `value` is None."""


@dataclass(frozen=True)
class Source:
    """One file to read."""

    path: Path
    name: str
    split: str | None


def sources(place: Path, splits: Splits, key: str = "clean.input") -> list[Source]:
    """The files to read, sorted by name. Raises `InputError` where there are none, or one is claimed by two splits."""
    if not place.exists():
        raise InputError(f"{place}: no such file or folder; set {key} to where the rows are.")
    if place.is_file():
        if place.suffix.lower() not in ENDINGS:
            raise InputError(f"{place}: not a known kind of data file; known endings: {', '.join(ENDINGS)}.")
        found = {place.name: place}
    else:
        found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if _is_data(path, place)}
    if not found:
        raise InputError(f"{place}: no data file in this folder; known endings: {', '.join(ENDINGS)}.")
    claimed: dict[str, str] = {}
    for split, patterns in splits.model_dump().items():
        for pattern in patterns:
            matches = [name for name in found if PurePosixPath(name).match(pattern)]
            if not matches:
                raise InputError(
                    f"clean.splits.{split}: no file in {place} matches '{pattern}'; there are {_some(sorted(found))}."
                )
            for name in matches:
                if claimed.setdefault(name, split) != split:
                    raise InputError(f"{place / name}: in clean.splits.{claimed[name]} and in .{split}; choose one.")
    return [Source(found[name], name, claimed.get(name)) for name in sorted(claimed or found)]


def records(source: Source) -> Iterator[Record]:
    """Every record of one file. Faulty lines come with a `fault`; a file that is unreadable as a whole is an error."""
    match source.path.suffix.lower():
        case ".parquet":
            yield from _table(source)
        case ".csv" | ".tsv":
            yield from _separated(source)
        case ".json":
            yield from _document(source)
        case _:
            yield from _lines(source)


def _is_data(path: Path, place: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
    return path.is_file() and path.suffix.lower() in ENDINGS and path.name not in BESIDE and not hidden


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _lines(source: Source) -> Iterator[Record]:
    """JSON Lines; blank lines are no records."""
    with source.path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if b"\0" in line:
                raise InputError(f"{source.path}: line {number} has a NUL byte, so this is no text; remove the file.")
            if line.strip():
                yield _parsed(source, number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)


def _parsed(source: Source, number: int, line: bytes) -> Record:
    raw = line.decode("utf-8", "backslashreplace").strip()
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Record(source.name, number, source.split, None, raw, "parse_error")
    return _record(source, number, value, raw)


def _record(source: Source, number: int, value: Any, raw: str | None = None) -> Record:
    text = json.dumps(value, ensure_ascii=False, default=str) if raw is None else raw
    if not isinstance(value, dict):
        return Record(source.name, number, source.split, None, text, "not_an_object")
    return Record(source.name, number, source.split, value, text)


def _document(source: Source) -> Iterator[Record]:
    """A JSON list of objects, or one object."""
    try:
        document = json.loads(source.path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source.path}: not valid JSON: {error}. One object a line? Name it .jsonl.") from None
    for number, value in enumerate(document if isinstance(document, list) else [document], 1):
        yield _record(source, number, value)


def _separated(source: Source) -> Iterator[Record]:
    """CSV or TSV with a header; every value stays the text it is."""
    csv.field_size_limit(2**31 - 1)
    delimiter = "\t" if source.path.suffix.lower() == ".tsv" else ","
    try:
        with source.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            header = next(reader, [])
            for cells in reader:
                if not cells:
                    continue
                raw = json.dumps(cells, ensure_ascii=False)
                if len(cells) != len(header):
                    yield Record(source.name, reader.line_num, source.split, None, raw, "ragged_line")
                else:
                    yield _record(source, reader.line_num, dict(zip(header, cells, strict=True)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{source.path}: not readable as text in UTF-8: {error}.") from None


def _table(source: Source) -> Iterator[Record]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        number = 0
        for batch in parquet.ParquetFile(source.path).iter_batches():
            for value in batch.to_pylist():
                number += 1
                yield _record(source, number, value)
    except pa.ArrowException as error:
        raise InputError(f"{source.path}: not a readable Parquet file: {error}") from None
