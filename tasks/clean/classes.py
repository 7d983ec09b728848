"""What the numbers in a column of classes stand for, as the data say: a features file, a table's schema, a card."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.clean.settings import Settings
from tasks.clean.tabular import CLASSES
from tasks.core.errors import TemperError
from tasks.core.json_files import read_object
from tasks.core.paths import PATHS
from tasks.core.yaml_files import parse

INFO, CARD = "dataset_info.json", "README.md"
"""What `datasets` writes beside rows, and the card of a data set of the hub."""

LISTED = 100
"""Names of classes that are shown."""

FILES = 20
"""Files of each kind that are looked at."""


DEEPEST = 8
"""Levels of a description within which names are looked for."""


def with_names(settings: Settings, data: Path) -> Settings:
    """`settings` with the names of the classes that the data themselves give, where settings name none.

    `data`: the file or folder with the rows. What stands beside a file, or above a folder, is no part of the stage's
    input, so it is only told.
    """
    columns = settings.columns
    for column in () if columns.labels else (columns.answer, columns.classes, *CLASSES):
        names, file = _described(data, column) if isinstance(column, str) else ([], data)
        if names and file.is_relative_to(data):
            return settings.model_copy(update={"columns": columns.model_copy(update={"labels": tuple(names)})})
    return settings


def unnamed(data: Path) -> str:
    """The sentence that asks for the names of classes, with those that stand beside the data."""
    names = next((names for column in CLASSES if (names := class_names(data, column)[0])), [])
    shown = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "") if names else "NAME, NAME, ..."
    return (
        f"The classes there are numbers without names; in section clean of {PATHS.params} write columns: {{labels: "
        f"[{shown}]}}, in the order of the numbers from 0."
    )


def class_names(data: Path, column: str) -> tuple[list[str], str]:
    """The names of the classes in `column`, in the order of their numbers, and the file that has them, else [].

    `data`: the file or folder that the rows are from. A card may stand a folder above it, as on the hub.
    """
    names, file = _described(data, column)
    folder = data if data.is_dir() else data.parent
    return names, file.relative_to(folder.parent).as_posix() if file.parent != folder else file.name


def _described(data: Path, column: str) -> tuple[list[str], Path]:
    """The names of the classes in `column`, and the file that has them; [] and `data`."""
    for file, features in _features(data, data if data.is_dir() else data.parent):
        if names := _names(features.get(column)):
            return names, file
    return [], data


def _features(data: Path, folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Files, each with the features (column -> description) that it lists. What cannot be read lists none."""
    tables, infos = [data], [folder / INFO]
    if data.is_dir():
        tables, infos = sorted(data.rglob("*.parquet"))[:FILES], sorted(data.rglob(INFO))[:FILES]
    for file in infos:
        with suppress(TemperError, OSError):
            yield file, _by_column(read_object(file).get("features"))
    for file in tables:
        if file.suffix == ".parquet":
            yield file, _by_column(_schema(file))
    for card in (folder / CARD, folder.parent / CARD):
        info = _front_matter(card).get("dataset_info")
        for part in info if isinstance(info, list) else [info]:  # a list where there are several configurations
            if isinstance(part, dict):
                yield card, _by_column(part.get("features"))


def _schema(file: Path) -> Any:
    """The features that `datasets` notes in the schema of a table."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        metadata = parquet.read_schema(file).metadata or {}
        return json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _front_matter(card: Path) -> dict[str, Any]:
    """The YAML between the first two lines of `---`."""
    try:
        start, *more = card.read_text(encoding="utf-8").split("---\n", 2)
        value = parse(more[0], "safe") if len(more) == 2 and not start.strip() else None
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _by_column(features: Any) -> dict[str, Any]:
    """Features as a mapping: cards have a list of them, each with its name."""
    if isinstance(features, list):
        return {str(one.get("name")): one for one in features if isinstance(one, dict)}
    return features if isinstance(features, dict) else {}


def _names(described: Any, level: int = 0) -> list[str]:
    """The `names` in the description of a feature, which may be a list of classes; by number where they are mapped."""
    if not isinstance(described, dict) or level > DEEPEST:
        return []
    names = described.get("names")
    if isinstance(names, list):
        return [str(name) for name in names]
    if isinstance(names, dict) and all(str(number).isdecimal() for number in names):
        return [str(names[number]) for number in sorted(names, key=int)]
    return next((inner for value in described.values() if (inner := _names(value, level + 1))), [])
