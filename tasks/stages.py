"""Every stage that is declared: a folder in `tasks` with a `stage.py`."""

import importlib
from collections.abc import Collection
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


def needed(wanted: Collection[str]) -> set[str]:
    """The stages that the stages or entries of dvc.yaml in `wanted`, such as quantize@nf4, are of, and those that they
    need; all where nothing is wanted, or something that is declared elsewhere."""
    known = entries()
    waiting = [entry for entry, (one, _) in known.items() for name in wanted if _named(name) in (entry, one.name)]
    if not wanted or any(_named(name) not in {*known, *names()} for name in wanted):
        return set(names())
    reached: set[str] = set()
    declared = {one.name: one for one in stages()}
    while waiting:
        entry = waiting.pop()
        if entry in reached:
            continue
        reached.add(entry)
        read = {_place(path, declared) for path in known[entry][1].inputs}
        waiting += [other for other, (_, one) in known.items() if _meet(read, one)]
    return {known[entry][0].name for entry in reached}


def _named(name: str) -> str:
    return name.partition("@")[0]


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
