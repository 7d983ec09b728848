"""What recipes start from: lists of tasks or scenarios in the input folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.core.yaml_files import parse
from tasks.generate.settings import Settings

LARGEST = 2**24
"""Characters of the longest YAML file of entries."""


def seeds(settings: Settings, paths: Paths, key: str) -> list[dict[str, Any]]:
    """Every entry of the `*.yaml`, `*.yml` and `*.jsonl` files of the input, by file name and place.

    An entry is a mapping with `key`, or just its text. Raises `InputError` where there is none, or one is neither.
    """
    folder = paths.root / settings.input
    if not folder.is_dir():
        raise InputError(
            f"generate.input = {settings.input}: no such folder; name one with {key}s in *.yaml or *.jsonl."
        )
    entries = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml", ".jsonl")):
        for number, entry in enumerate(_entries(path), 1):
            entry = {key: entry} if isinstance(entry, str) else entry
            if not isinstance(entry, dict) or not isinstance(entry.get(key), str) or not entry[key].strip():
                raise InputError(
                    f"{path}, entry {number}: expected a text, or '{key}' with one; got {str(entry)[:80]!r}."
                )
            entries.append(entry)
    if not entries:
        raise InputError(
            f"generate.input = {settings.input}: no {key} in it; write *.yaml with a list of {key}s, or *.jsonl with a "
            f"'{key}' in each line."
        )
    return entries


def _entries(path: Path) -> Iterator[Any]:
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                try:
                    if line.strip():
                        entry = json.loads(line)
                        json.dumps(entry, ensure_ascii=False).encode()  # raises at half of a surrogate pair
                        yield entry
                except ValueError as error:
                    raise InputError(
                        f"{path}, line {number}: not valid JSON ({error}); fix or remove the line."
                    ) from None
        return
    try:
        document = parse(path.read_text(encoding="utf-8"), "safe", LARGEST)
    except ValueError as error:
        raise InputError(f"{path}: {error}.") from None
    if not isinstance(document, list):
        raise InputError(f"{path}: expected a list of entries, found {type(document).__name__}.")
    yield from document
