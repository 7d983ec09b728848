"""Tasks of lm-eval by name: those of the folder `data/scoring` come before its own.

lm-eval reads each of its 14,000 files before it knows one task, which takes seconds. Here only those folders are read
that define the task, what it stands for, and what that is made of.
"""

import difflib
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from tasks.core.errors import SettingsError


def manager(task: str, scoring: Path, key: str) -> Any:
    """lm-eval's manager of tasks that knows `task`; `key` is the setting that names it.

    Raises `SettingsError` where there is no such task, or a file in `scoring` cannot be read.
    """
    own = (scoring,) if scoring.is_dir() else ()
    try:
        if own and task in (own_manager := _manager(own, _state(own))).all_tasks:
            return own_manager
        # later folders come before earlier ones
        folders = (*(_folders(task) or (_tasks(),)), *own)
        any_manager = _manager(folders, _state(own))
    except Exception as error:
        raise SettingsError(f"{scoring}: a task file there cannot be read ({one_line(error)}); fix it.") from error
    if task not in any_manager.all_tasks:
        near = difflib.get_close_matches(task, any_manager.all_tasks, n=1)
        advice = f"did you mean {near[0]!r}?" if near else "files that are not valid YAML are skipped."
        raise SettingsError(f"{key}: unknown task {task!r}: neither {scoring} nor lm-eval has it; {advice}")
    return any_manager


@lru_cache(64)
def _manager(folders: tuple[Path, ...], state: tuple[Any, ...] = ()) -> Any:
    """What knows the tasks of some folders; `state`: of files that may change while this process runs."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=[str(folder) for folder in folders], include_defaults=False)


def _state(folders: tuple[Path, ...]) -> tuple[Any, ...]:
    files = [file for folder in folders for file in sorted(folder.rglob("*.yaml"))]
    return tuple((file, stat.st_mtime_ns, stat.st_size) for file in files if (stat := file.stat()))


def _tasks() -> Path:
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).parent


@cache
def _texts() -> dict[Path, bytes]:
    """What lm-eval's files say, by folder."""
    texts: dict[Path, list[bytes]] = {}
    for file in _tasks().glob("*/**/*.yaml"):
        folder = _tasks() / file.relative_to(_tasks()).parts[0]
        texts.setdefault(folder, []).append(file.read_bytes())
    return {folder: b"\n".join(parts) for folder, parts in sorted(texts.items())}


@cache
def _folders(task: str) -> tuple[Path, ...] | None:
    """Folders of lm-eval that define `task` and all that it is made of; None where only all of them say it.

    That is so for a name that none defines, or several do: which of them counts depends on their order.
    """
    waiting, known, folders = [task], set(), set()
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        defining = [folder for folder in _naming(name) if name in _manager((folder,)).task_index]
        if len(defining) > 1 or (name == task and not defining):
            return None
        for folder in defining:
            folders.add(folder)
            waiting += _parts(_manager((folder,)).task_index[name])
    return tuple(sorted(folders))


def _naming(name: str) -> Iterator[Path]:
    """Folders in whose files `name` stands as a word."""
    word, pattern = name.encode(), re.compile(rb"(?<![\w-])" + re.escape(name.encode()) + rb"(?![\w-])")
    return (folder for folder, text in _texts().items() if word in text and pattern.search(text))


def _parts(entry: Any) -> Iterator[str]:
    """Names of tasks, groups and tags that an entry stands for."""
    if entry.yaml_path is None:  # a tag; others name the tags that they have
        yield from entry.tags
    waiting = [(entry.cfg or {}).get("task")]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += [part.get("task"), part.get("group")]
        elif isinstance(part, str) and part != entry.name:
            yield part


def one_line(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
