"""What a project sets, beside what it leaves at its default; back to the defaults, and one change back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.params.comments import editable
from flows.params.defaults import defaults, every_key, reset
from flows.params.diff import parameters
from flows.params.model import change, model, save
from tasks.core.errors import SettingsError
from tasks.core.files import write_text
from tasks.core.paths import PATHS
from tasks.core.settings import load, read


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
    """Keep what stood in params.yaml, for `undo`."""
    PATHS.params_before.parent.mkdir(parents=True, exist_ok=True)
    write_text(PATHS.params_before, text)


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
    """Put params.yaml back as it was before temper last changed it; once more: forth. A line for each key that changes.

    Raises `SettingsError` where temper changed nothing yet.
    """
    if not PATHS.params_before.is_file():
        raise SettingsError(f"temper has not changed {path} here yet; use git for older versions.")
    new, old = read(PATHS.params_before), read(path)
    text, current = PATHS.params_before.read_text(encoding="utf-8"), path.read_text(encoding="utf-8")
    write_text(path, text)
    keep(current)
    return parameters(old, new)
