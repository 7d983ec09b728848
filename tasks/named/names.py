"""Names in settings that become paths: they stay inside the folder that they are names in."""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import Field

from tasks.core.errors import SettingsError

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=PATTERN)]
"""A name that stands in paths, in commands of dvc.yaml and on pages."""


def inside(folder: Path, name: str, key: str) -> Path:
    """`folder / name`. Raises `SettingsError`, which names `key`, where that lies elsewhere, links followed.

    Example:

        inside(paths.guides, "worth.py", "align.rewards.0.name")  # data/guides/worth.py
    """
    forms = (PurePosixPath(name), PureWindowsPath(name))
    if (
        not name.strip()
        or "\0" in name
        or any(form.is_absolute() or form.anchor or ".." in form.parts for form in forms)
    ):
        raise SettingsError(f"{key} = {name!r}: expected a name inside {_shown(folder)}; put the file or folder there.")
    path = folder / name
    try:
        whole, room = path.resolve(), folder.resolve()
    except (OSError, RuntimeError) as error:  # a circle of links, or a name too long
        raise SettingsError(f"{key} = {name!r}: {path} cannot be followed ({error}).") from None
    if whole == room or not whole.is_relative_to(room):
        raise SettingsError(f"{key} = {name!r}: {path} is a link to {whole}, outside {folder}; put a copy there.")
    return path


def _shown(folder: Path) -> str:
    return "this folder" if folder == Path() else str(folder)
