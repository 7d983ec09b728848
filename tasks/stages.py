"""Every stage that is declared: a folder in `tasks` with a `stage.py`."""

import importlib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from tasks.core.declaration import Entry, Stage

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the stages, sorted; nothing is imported."""
    return sorted(file.parent.name for file in FOLDER.glob("*/stage.py"))


def stage(name: str) -> Stage:
    """The stage of that name; heavy libraries are loaded when it runs, not here."""
    declared: Stage = importlib.import_module(f"tasks.{name}.stage").STAGE
    return declared


@cache
def stages() -> tuple[Stage, ...]:
    """All stages, each after those whose outputs it reads, and else as the alphabet has them."""
    declared = {name: stage(name) for name in names()}
    graph = TopologicalSorter({one: sorted(_before(one, declared)) for one in declared})
    graph.prepare()
    order: list[str] = []
    while graph.is_active():
        ready = sorted(graph.get_ready())
        order += ready
        graph.done(*ready)
    return tuple(declared[name] for name in order)


def entries() -> dict[str, tuple[Stage, Entry]]:
    """Every entry that dvc.yaml has to have, by its name."""
    return {entry.name or one.name: (one, entry) for one in stages() for entry in one.entries}


def _before(name: str, declared: dict[str, Stage]) -> set[str]:
    read = {_place(path, declared) for entry in declared[name].entries for path in entry.inputs}
    return {other for other, one in declared.items() if other != name and any(_meet(read, e) for e in one.entries)}


def _place(path: Path | str, declared: dict[str, Stage]) -> Path:
    """Where an input lies; one that params.yaml names, where it lies by default."""
    section, _, key = str(path).removeprefix("${").removesuffix("}").partition(".")
    if section in declared and key:
        return Path(str(declared[section].settings.model_fields[key].default))
    return Path(path)


def _meet(read: set[Path], entry: Entry) -> bool:
    written = (*entry.outputs, *entry.metrics)
    return any(out == path or out in path.parents or path in out.parents for out in written for path in read)
