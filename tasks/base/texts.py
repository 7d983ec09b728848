"""Documents that a base is trained on: each text file in a folder, and each row of JSON Lines with `text`.

    corpus = read(Settings(text="data/texts"), Paths())

What a file is, its content says: UTF-8 without NULs is text. Anything else is refused by name, and passed over are
hidden files only, the files by which DVC keeps others, and the README.md of data/texts itself.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.settings import Settings
from tasks.core.errors import InputError, SettingsError
from tasks.core.files import fingerprint
from tasks.core.numbers import counted
from tasks.core.paths import PATHS, TRACKED, Paths
from tasks.core.progress import counting

ROWS = (".jsonl", ".ndjson")
"""Endings of files whose lines are documents."""

LARGEST = 2**28
"""Bytes of a file; larger ones are to be cut, for each is read whole."""

MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""Byte order marks of other encodings."""


@dataclass(frozen=True)
class Corpus:
    """The documents of a folder, in the order of their files' names."""

    documents: list[str]
    """Those that are not empty."""
    empty: int
    files: dict[str, dict[str, int]]
    """Name below the folder -> `documents` and `characters` that it gives."""

    @property
    def fingerprint(self) -> str:
        """A hash of all that is read."""
        return fingerprint([hashlib.sha256(document.encode()).hexdigest() for document in self.documents])


def read(settings: Settings, paths: Paths) -> Corpus:
    """The documents in `settings.text`.

    Raises `SettingsError` if that is not a folder in data/texts, `InputError` where a file there is no text, a row has
    none, or there is no document at all.
    """
    folder = text_folder(settings, paths)
    corpus = Corpus([], 0, {})
    documents, empty = corpus.documents, 0
    for path in counting("base: files read", list(_files(folder, paths)), "files"):
        before, name = len(documents), _name(path, folder)
        for text in _documents(path):
            if text.strip():
                documents.append(text)
            else:
                empty += 1
        corpus.files[name] = {"documents": len(documents) - before, "characters": sum(map(len, documents[before:]))}
    if not documents:
        raise InputError(
            f"base.text = {settings.text}: no text in {counted(len(corpus.files), 'files')}; put text files there, or "
            "set it to null."
        )
    return Corpus(documents, empty, corpus.files)


def text_folder(settings: Settings, paths: Paths) -> Path:
    """The folder that `base.text` names. Raises `SettingsError` where it is none in data/texts, links followed."""
    name = str(settings.text)
    folder, room = Path(os.path.normpath(paths.root / name)), paths.texts
    if not folder.is_relative_to(Path(os.path.normpath(room))):
        raise SettingsError(
            f"base.text = {name}: expected {PATHS.texts} or a folder in it, since the stage tracks only that folder; "
            "put the texts there."
        )
    if folder.is_file():
        raise SettingsError(f"base.text = {name}: this is a file; name the folder that contains it.")
    if not folder.is_dir():
        raise SettingsError(f"base.text = {name}: no such folder; put the texts there.")
    _inside(folder, paths, name)
    return folder


def check_vocabulary(settings: Settings, size: int) -> None:
    """Raise `InputError` where the texts gave a smaller vocabulary, of `size` tokens, than is asked for."""
    wanted = settings.architecture.vocabulary
    if size < wanted:
        raise InputError(
            f"base.text = {settings.text}: the text gives a vocabulary of only {size:,} tokens, not {wanted:,}; add "
            f"text, or set base.architecture.vocabulary to at most {size}."
        )


def windows(documents: list[list[int]], context: int) -> Iterator[list[int]]:
    """Documents as rows of at most `context` tokens: a longer one in windows, one after the other, no token twice."""
    for ids in documents:
        for start in range(0, len(ids), context):
            yield ids[start : start + context]


def _files(folder: Path, paths: Paths) -> Iterator[Path]:
    for path in sorted(folder.rglob("*"), key=lambda path: _name(path, folder)):
        inner = path.relative_to(folder)
        own_note = path == paths.texts / "README.md"
        if any(part.startswith(".") for part in inner.parts) or path.match(TRACKED) or own_note:
            continue
        if path.is_symlink():
            _inside(path, paths, str(path))
            if path.is_dir():
                raise InputError(f"{path}: a link to a folder is not followed; put a copy of the folder there.")
        if path.is_dir():
            continue
        if not path.is_file():
            raise InputError(f"{path}: neither a file nor a folder; remove it.")
        yield path


def _inside(path: Path, paths: Paths, name: str) -> None:
    try:
        whole = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a circle of links, or one that leads nowhere
        raise InputError(f"{name}: this link cannot be followed ({error}); remove it.") from None
    if not whole.is_relative_to(paths.root.resolve()):
        raise InputError(f"{name}: a link to {whole}, outside the project; put a copy there.")


def _documents(path: Path) -> Iterator[str]:
    text = _text(path)
    if path.suffix.lower() not in ROWS:
        yield text
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _text_of(line, f"{path}:{number}")


def _text(path: Path) -> str:
    """The file as text, without a byte order mark. Raises `InputError` where it is none."""
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise InputError(
                f"{path}: {size:,} bytes, but at most {LARGEST:,} per file are allowed; split it into several."
            )
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: it cannot be read ({error.strerror}); fix that, or remove the file.") from None
    if named := MARKS.get(content[:2]):
        raise InputError(f"{path}: this is {named}; convert it to UTF-8, or remove it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 (byte 0x{content[error.start]:02x} at {error.start:,}); convert it, or remove it."
        ) from None
    if "\0" in text:
        raise InputError(
            f"{path}: not a text file: it has NUL characters, the first at {text.index(chr(0)):,}; remove it."
        )
    return text


def _text_of(line: str, where: str) -> str:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
        raise InputError(f"{where}: not valid JSON ({reason}); fix the line.") from None
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise InputError(
            f"{where}: expected a JSON object with a text under the key text; fix the line, or remove the file."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{where}: the text has an unpaired surrogate, which is not a character; fix the line."
        ) from None
    if "\0" in text:
        raise InputError(f"{where}: the text has a NUL character; fix the line.")
    return text


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix().encode(errors="backslashreplace").decode()
