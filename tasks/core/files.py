"""Files that appear under their final name only when complete, and hashes of what is in them."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError
from tasks.core.json_files import read_object


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to (a file or a folder); on success fsync it and rename it to `path`.

    On an error nothing appears at `path`, and what was written aside is removed. A folder replaces the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.writing")
    _remove(aside)
    try:
        yield aside
        for file in sorted(aside.rglob("*")) if aside.is_dir() else [aside]:
            if file.is_file():
                _sync(file)
        if aside.is_dir():
            _remove(path)
        os.replace(aside, path)
        _sync(path.parent)
    finally:
        _remove(aside)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with sorted keys and a final newline: equal values give equal bytes."""
    with written(path) as aside:
        aside.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with written(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_json(path: Path, stage: str) -> dict[str, Any]:
    """The JSON object that `stage` left in `path`; raises `InputError` where it has not run, or the file is none."""
    try:
        return read_object(path, remedy=f"run the stage {stage} again: dvc repro -f {stage}")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage {stage} first.") from None


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
"""As `json.dumps` makes for each call anew, which takes a third of the time of a small value."""


def fingerprint(value: Any) -> str:
    """Hex SHA-256 of a JSON value, independent of key order."""
    return hashlib.sha256(_CANONICAL.encode(value).encode()).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
