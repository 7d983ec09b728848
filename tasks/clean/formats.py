"""What kind of file it is: its content decides, its name only where the content leaves it open."""

import json
import re
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Any, Literal

from tasks.core.errors import InputError

Kind = Literal["lines", "document", "csv", "tsv", "parquet", "arrow", "arrow_stream", "prose"]

ENDINGS: dict[str, Kind] = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "document",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow_stream",
    ".txt": "prose",
}
"""What a data file's name ends in, before the ending of its compression, and what that suggests."""

MARKDOWN: dict[str, Kind] = {".md": "prose", ".markdown": "prose"}
"""The same of files that are rows only where `clean.shape` is text: else they are notes and cards beside rows."""

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

HEAD = 65536
"""Bytes that are looked at."""

EXPANSION, ROOM = 300, 2**24
"""A compressed file may unpack to so many times its size, or to so many bytes: beyond both it is taken for a bomb."""

_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_NOT_ROWS = {
    b"PK\x03\x04": "a zip archive; unpack it",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\x7fELF": "a program",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!doctype|<html|<head|<body|<\?xml)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Format:
    """How to read a file."""

    kind: Kind
    compression: str | None
    """gzip or zstd."""


def ending(path: Path) -> str:
    """The ending that says what the file holds: `.jsonl` for `rows.jsonl.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def recognise(path: Path) -> Format:
    """The format of a file. Raises `InputError` for content that can be no rows, with what it is."""
    with path.open("rb") as file:
        magic = file.read(8)
    compression = next((name for start, name in _COMPRESSED.items() if magic.startswith(start)), None)
    try:
        with open_decompressed(path, compression) as file:
            head = file.read(HEAD)
    except OSError as error:
        if error.errno:
            raise
        raise InputError(f"{path}: cannot be unpacked as {compression}: {error}") from None
    for start, what in _NOT_ROWS.items():
        if head.startswith(start):
            raise InputError(f"{path}: the content is {what}; rows are JSON, CSV, Parquet or Arrow.")
    if head.startswith(_POINTER):
        raise InputError(f"{path}: this is a git-LFS pointer, not the data; fetch it with: git lfs pull")
    kind = {**ENDINGS, **MARKDOWN}.get(ending(path), "lines")
    if kind != "prose" and _PAGE.match(head):
        raise InputError(
            f"{path}: the content is an HTML or XML page, which servers send if a login is missing or the URL is "
            "wrong; download the data again."
        )
    if head.startswith(b"PAR1"):
        return Format("parquet", compression)
    if head.startswith(b"ARROW1"):
        return Format("arrow", compression)
    if head.startswith(b"\xff\xff\xff\xff"):
        return Format("arrow_stream", compression)
    if kind in {"parquet", "arrow_stream"} and head:
        raise InputError(f"{path}: not a readable {ending(path)[1:].capitalize()} file: its first bytes are wrong.")
    if head.startswith(_UTF16):
        raise InputError(f"{path}: the text is in UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {path.name}")
    if _is_binary(head):
        raise InputError(
            f"{path}: the content is not text: most lines have NUL bytes or are not UTF-8; "
            "convert it to UTF-8, or remove it from the data."
        )
    return Format(_text(head.decode("utf-8", "replace").removeprefix("\ufeff").lstrip(), kind), compression)


def open_decompressed(path: Path, compression: str | None) -> IO[bytes]:
    """The file for reading, unpacked as it is read; what unpacks to far too much is refused on the way."""
    if compression is None:
        return path.open("rb")
    return BufferedReader(_Unpacked(path, compression), 2**20)


def _text(head: str, suggested: Kind) -> Kind:
    if head.startswith("["):
        return "document" if suggested != "lines" or not _complete(head.split("\n", 1)[0]) else "lines"
    if not head.startswith("{"):
        return suggested
    first, *more = head.split("\n")  # JSON writes other breaks of lines, such as U+2028, as they are
    if _complete(first) and (any(line.strip() for line in more) or suggested == "lines"):
        return "lines"
    return "document" if suggested != "lines" or _goes_on(head) else "lines"


def _is_binary(head: bytes) -> bool:
    """Whether there are NUL bytes, and they and what is no UTF-8 are in most lines: one bad line is one bad row."""
    if b"\0" not in head:
        return False
    lines = [line for line in head.split(b"\n") if line.strip()]
    return sum(b"\0" in line or "\ufffd" in line.decode("utf-8", "replace") for line in lines) * 2 > len(lines)


def _goes_on(head: str) -> bool:
    """Whether the first object ends on a later line than it begins, or is right as far as it is seen."""
    try:
        _, end = json.JSONDecoder().raw_decode(head)
    except json.JSONDecodeError as error:
        end = error.pos
        if end < len(head) - 8 and not error.msg.startswith("Unterminated string"):
            return False
    except (ValueError, RecursionError):
        return False
    return "\n" in head[:end]


def _complete(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


class _Unpacked(RawIOBase):
    """A compressed file as a stream of what is in it."""

    def __init__(self, path: Path, compression: str) -> None:
        import pyarrow as pa

        self._stream = pa.input_stream(str(path), compression=compression)
        self._path = path
        self._most = max(ROOM, EXPANSION * path.stat().st_size)
        self._came = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._came += len(data)
        if self._came > self._most:
            raise InputError(
                f"{self._path}: decompresses to more than {EXPANSION} times its size; if that is right, decompress it "
                "yourself."
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
