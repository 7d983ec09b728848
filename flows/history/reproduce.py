"""`temper reproduce RUN`: rebuild a run from nothing in a fresh worktree by `dvc repro`, and compare every output."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.bridge import LOCK, Item, StageRecord, find, parse
from flows.history.origins import mismatches
from flows.plan.machine import LOCKED
from flows.system.environment import environment
from flows.system.git import git
from flows.system.guardian import guarded
from flows.worktree.worktree import label, workspace
from tasks.core.errors import InputError, StageFailed
from tasks.core.json_files import json_value, read_object
from tasks.core.numbers import counted
from tasks.core.paths import PATHS

NOTHING = StageRecord({}, {})

PROGRESS = re.compile(r"\S.*: [\d,]+/[\d,]+ [a-z]")
"""A line that says how far a stage is, by `tasks.core.progress`."""


@dataclass(frozen=True)
class Verdict:
    """What became of one stage when it was rebuilt."""

    stage: str
    differences: tuple[str, ...]
    """A line for each input or output that is not what it was; empty: identical."""


def reproduce(run: str, tell: Callable[[str], None], *, keep: bool = False) -> list[Verdict]:
    """Rebuild every stage of an experiment or revision; nothing of it goes into the cache.

    Raises `StageFailed` where `dvc repro` fails, and `InputError` where the run has no dvc.lock, or read what nobody
    has any more.

    Example:

        for verdict in reproduce("brave-otter", print):
            print(verdict.stage, verdict.differences or "identical")
    """
    revision = find(run)
    with workspace(label(f"reproduce-{run}"), revision, tell, keep=keep, anew=True):
        if not LOCK.is_file():
            raise InputError(f"{run}: this revision has no {LOCK}, so there is nothing to compare with.")
        _check_inputs(revision, run, tell)
        for line in _environment(revision):
            tell(line)
        before, numbers = parse(LOCK.read_text()), _numbers(_committed())
        _repro(len(before), tell)
        after = parse(LOCK.read_text())
        if keep:
            tell(f"the worktree is kept: {Path.cwd()}; when done: git worktree remove --force {Path.cwd()}")
        changed = list(_changed(numbers, _numbers(_committed())))
        outs = [path for record in before.values() for path in record.outs]
        return [
            Verdict(stage, tuple(_compare(record, after.get(stage, NOTHING), changed, outs)))
            for stage, record in before.items()
        ]


def _check_inputs(revision: str, run: str, tell: Callable[[str], None]) -> None:
    """Say which inputs are not here as the run read them. Raises `InputError` where nobody has one: all would differ,
    or stages fail over rows that the run never read."""
    strays = mismatches(revision)
    if lost := [one.sentence(run) for one in strays if one.lost and (one.file or not Path(one.path).exists())]:
        raise InputError("\n".join(lost))
    for one in strays:
        tell(one.sentence(run))


def _repro(stages: int, tell: Callable[[str], None]) -> None:
    """`dvc repro` with every one of so many stages anew, saying how far it is.

    Outputs stay in the worktree, out of the cache and out of the run cache.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **guarded(), "PATH": path}
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--no-commit"]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output, begun = [], 0
        for line in process.stdout or []:
            output.append(line.rstrip())
            if named := re.match(r"Running stage '(.+)':", line):
                begun += 1
                tell(f"rebuilding {named[1]} ({begun} of {stages})")
            elif PROGRESS.match(line):
                tell(f"    {line.strip()}")
    if process.returncode:
        raise StageFailed("dvc repro failed; its last lines:\n" + "\n".join(f"    {line}" for line in output[-15:]))


def _compare(
    old: StageRecord, new: StageRecord, changed: list[tuple[str, str]], outs: Collection[str]
) -> Iterator[str]:
    """A line for each difference between two records of a stage. `changed`: (file, line) for each number that moved;
    `outs`: what the stages write."""
    for path, out in old.outs.items():
        now = new.outs.get(path)
        if now and out.md5 == now.md5:
            continue
        yield f"{path}: {_size(out)} -> {_size(now) if now else 'missing'}"
        yield from (f"    {line}" for file, line in changed if file == path)
    other = [path for path, dep in old.deps.items() if path not in new.deps or dep.md5 != new.deps[path].md5]
    yield from (f"it read a different {path}" for path in other)
    own = [path for path in other if not any(_within(path, out) or _within(out, path) for out in outs)]
    if own:  # no stage writes them
        changes = f"{', '.join(own)} changed after {LOCK} was written"
        yield f"    {changes}; run temper run there, and commit {LOCK} with the change"


def _within(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _size(item: Item) -> str:
    files = "" if item.files is None else f", {counted(item.files, 'files')}"
    return f"{item.md5[:8]} ({item.size:,} bytes{files})"


def _environment(revision: str) -> Iterator[str]:
    """What differs between the machine that made the run and this one, where the experiment says."""
    text = git("log", "-1", "--format=%B", revision)
    if not (recorded := re.search(r"^Environment: (\{.*\})$", text, re.MULTILINE)):
        yield (
            "This revision does not record the kind of machine that made it; only deployed runs do. Where a "
            "stage differs, another processor may be the reason."
        )
        return
    try:
        then, now = json_value(recorded[1]), environment(LOCKED)
    except ValueError:
        yield "This revision's record of its machine is not valid JSON, so the machines cannot be compared."
        return
    for name, value in then.items():
        if value != now.get(name):
            yield f"environment: {name} was {value}, but is {now.get(name, 'unknown')} here"


def _committed() -> list[Path]:
    """Outputs that git holds (metrics), whose numbers can be compared one by one."""
    return [Path(name) for name in git("ls-files", f"{PATHS.data}/**/*.json").splitlines() if Path(name).exists()]


def _numbers(files: list[Path]) -> dict[str, dict[str, float]]:
    return {str(file): dict(_leaves(read_object(file), "")) for file in files}


def _leaves(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}".lstrip("."))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


def _changed(old: dict[str, dict[str, float]], new: dict[str, dict[str, float]]) -> Iterator[tuple[str, str]]:
    """(file, line) for each number that is not what it was."""
    for file, values in old.items():
        for name, value in values.items():
            if (now := new.get(file, {}).get(name)) != value:
                yield file, f"{name}: {value:g} -> {'gone' if now is None else format(now, 'g')}"
