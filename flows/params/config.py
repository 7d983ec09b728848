"""What a project sets, beside what it leaves at its default; back to the defaults, and changes back and forth."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.params.comments import editable
from flows.params.defaults import defaults, every_key, reset
from flows.params.diff import parameters
from flows.params.model import change, model, save
from tasks.core.errors import SettingsError, TemperError
from tasks.core.files import write_text
from tasks.core.json_files import read_object
from tasks.core.paths import PATHS
from tasks.core.settings import load, read

MOST = 100
"""Changes that can be undone."""


def differences(path: Path = PATHS.params) -> list[str]:
    """A line for each key that is not at its default: `train.steps 240 -> 500`."""
    return parameters(defaults(model()), every_key(load(model(), path)))


def reset_file(keys: tuple[str, ...] = (), path: Path = PATHS.params) -> list[str]:
    """Put params.yaml, or the keys in it, back to their defaults; returns a line for each key that changed."""
    document, before = editable(path), read(path)
    text = path.read_text(encoding="utf-8")
    reset(document, defaults(model()), keys)
    try:
        lines = save(document, before, path)
    except SettingsError as error:
        if not keys:
            raise
        sections = " ".join(dict.fromkeys(key.partition(".")[0] for key in keys))
        raise SettingsError(
            f"{error} What depends on it can be reset as well: temper config reset {sections}"
        ) from None
    if lines:
        keep(text)
    return lines


def keep(text: str) -> None:
    """Keep what stood in params.yaml, for `undo`. Nothing is left to `redo` then."""
    _write([*_history()[0], text], [])


@contextmanager
def tried(assignments: list[str], recipe: Path | None = None, path: Path = PATHS.params) -> Iterator[list[str]]:
    """Within, params.yaml is as `change` makes it (a line for each key); afterwards it is as it was, whatever happens.

    Whoever calls it holds the checkout: a run that starts meanwhile would take these settings for those of the project.
    """
    before = path.read_text(encoding="utf-8")
    try:
        yield change(assignments, recipe, path=path)
    finally:
        if path.read_text(encoding="utf-8") != before:
            write_text(path, before)


def undo(path: Path = PATHS.params) -> list[str]:
    """Put params.yaml back as it was before a change of temper: at first the last one, then the one before.

    What stood there until now, edits by hand included, is for `redo`. A line for each key that changes. Raises
    `SettingsError` where nothing is left to undo.
    """
    before, after = _history()
    if not before:
        raise SettingsError(
            f"temper has made no change to {path} here that is left to undo; use git for older versions."
        )
    current = path.read_text(encoding="utf-8")
    lines = _put(path, before[-1])
    _write(before[:-1], [*after, current])
    return lines


def redo(path: Path = PATHS.params) -> list[str]:
    """Take the last `undo` back; a line for each key that changes. Raises `SettingsError` where there is none."""
    before, after = _history()
    if not after:
        raise SettingsError(f"nothing was undone in {path} since temper last changed it.")
    current = path.read_text(encoding="utf-8")
    lines = _put(path, after[-1])
    _write([*before, current], after[:-1])
    return lines


def _put(path: Path, text: str) -> list[str]:
    old = read(path)
    write_text(path, text)
    return parameters(old, read(path))


def _history() -> tuple[list[str], list[str]]:
    """Texts of params.yaml to go back to, and those that were undone, the nearest last; none where none is readable."""
    try:
        document = read_object(PATHS.params_history)
        return [*map(str, document["before"])], [*map(str, document["after"])]
    except (TemperError, OSError, KeyError, TypeError):
        return [], []


def _write(before: list[str], after: list[str]) -> None:
    PATHS.params_history.parent.mkdir(parents=True, exist_ok=True)
    write_text(PATHS.params_history, json.dumps({"before": before[-MOST:], "after": after}))
