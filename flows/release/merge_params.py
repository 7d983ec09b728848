"""params.yaml of a newer release with what a project has set: key by key, new keys with their comments.

    python -m flows.release.merge_params OWN

Run by the newer code, in a project whose params.yaml is the newer release's. OWN: a JSON file with the keys that the
project has set, and their values. All else gets the newer release's defaults. Prints a line for each key that is
renamed or gone.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.params.comments import editable
from flows.params.defaults import defaults, reset
from flows.params.model import model, overlay, save
from tasks.core.errors import SettingsError, TemperError
from tasks.core.paths import PATHS
from tasks.core.settings import Settings, load, models_in, read


def merge(own: Mapping[str, Any], params: Path) -> list[str]:
    """Put `own` over the defaults in `params`; returns a line for each key that is renamed or gone.

    `own`: as `own_settings` has it. Raises `SettingsError` where this version refuses a value of the project's.
    """
    lines: list[str] = []
    document = editable(params)
    reset(document, defaults(model()))
    for name, value in own.items():
        path = tuple(name.split("\0"))
        if (today := _today(path)) is None:
            lines.append(f"{'.'.join(path)} is gone; it was {value!r}")
            continue
        if today != path:
            lines.append(f"{'.'.join(path)} is now called {'.'.join(today)}")
        values = value
        for key in reversed(today):
            values = {key: values}
        overlay(document, values)
    save(document, read(params), params)
    load(model(), params)
    return lines


def _today(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The name of a key in this version; None where there is none any more."""
    known: list[type[BaseModel]] = [model()]
    names: list[str] = []
    for name in path:
        if not known:
            return (*names, *path[len(names) :])  # within a value that has keys of the user's own
        field = None
        for part in known:
            moved = part.moved.get(name, name) if issubclass(part, Settings) else name
            if field := part.model_fields.get(moved):
                names.append(moved)
                break
        if field is None:
            return None
        known = models_in(field.annotation)
    return tuple(names)


if __name__ == "__main__":
    try:
        print("\n".join(merge(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), PATHS.params)))
    except (TemperError, SettingsError) as error:
        sys.exit(str(error))
