"""`temper reproduce RUN`: rebuild a run from nothing in a fresh worktree by `dvc repro`, and compare every output."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.bridge import find
from flows.system.git import git
from flows.worktree.worktree import label, workspace
from tasks.core.errors import InputError, StageFailed

LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class Verdict:
    """What became of one stage when it was rebuilt."""

    stage: str
    differences: tuple[str, ...]
    """A line for each input or output that is not what it was; empty: identical."""


def reproduce(run: str, tell: Callable[[str], None], *, keep: bool = False) -> list[Verdict]:
    """Rebuild every stage of an experiment or revision; nothing of it goes into the cache.

    Raises `StageFailed` where `dvc repro` fails, and `InputError` where the run has no dvc.lock.
    """
    revision = find(run)
    with workspace(label(f"reproduce-{run}"), revision, tell, keep=keep):
        if not LOCK.is_file():
            raise InputError(f"{run}: this revision has no {LOCK}, so there is nothing to compare with.")
        for line in _environment(revision):
            tell(line)
        before, numbers = _read(LOCK), _numbers(_committed())
        _repro(tell)
        after = _read(LOCK)
        if keep:
            tell(f"the worktree stays: {Path.cwd()}; when done: git worktree remove --force {Path.cwd()}")
        changed = list(_changed(numbers, _numbers(_committed())))
        return [Verdict(stage, tuple(_compare(before[stage], after.get(stage, {}), changed))) for stage in before]


def _repro(tell: Callable[[str], None]) -> None:
    """`dvc repro` with every stage anew; outputs stay in the worktree, out of the cache and out of the run cache."""
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--no-commit"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = []
        for line in process.stdout or []:
            said.append(line.rstrip())
            if named := re.match(r"Running stage '(.+)':", line):
                tell(f"rebuilding {named[1]}")
    if process.returncode:
        raise StageFailed("dvc repro failed; it said last:\n" + "\n".join(f"    {line}" for line in said[-15:]))


def _compare(old: Mapping[str, Any], new: Mapping[str, Any], changed: list[tuple[str, str]]) -> Iterator[str]:
    outs = {out["path"]: out for out in new.get("outs", [])}
    for out in old.get("outs", []):
        now = outs.get(out["path"], {})
        if out.get("md5") == now.get("md5"):
            continue
        yield f"{out['path']}: {_size(out)} -> {_size(now)}"
        yield from (f"    {line}" for file, line in changed if file == out["path"])
    deps = {dep["path"]: dep for dep in new.get("deps", [])}
    for dep in old.get("deps", []):
        if dep.get("md5") != deps.get(dep["path"], {}).get("md5"):
            yield f"it read another {dep['path']}"


def _size(out: Mapping[str, Any]) -> str:
    if not out:
        return "missing"
    files = f", {out['nfiles']} files" if "nfiles" in out else ""
    return f"{out.get('md5', '')[:8]} ({out.get('size', 0):,} bytes{files})"


def _environment(revision: str) -> Iterator[str]:
    """What differs between the machine that made the run and this one, where the experiment says."""
    from flows.deployed import environment

    text = git("log", "-1", "--format=%B", revision)
    if not (recorded := re.search(r"^Environment: (\{.*\})$", text, re.MULTILINE)):
        yield "the revision does not say on what machine it was made."
        return
    then, now = json.loads(recorded[1]), environment()
    for name, value in then.items():
        if value != now.get(name):
            yield f"environment: {name} was {value}, is {now.get(name, 'unknown')} here"


def _read(lock: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(lock)["stages"])


def _committed() -> list[Path]:
    """Outputs that git holds (metrics), whose numbers can be compared one by one."""
    return [Path(name) for name in git("ls-files", "data/**/*.json").splitlines() if Path(name).exists()]


def _numbers(files: list[Path]) -> dict[str, dict[str, float]]:
    return {str(file): dict(_leaves(json.loads(file.read_text()), "")) for file in files}


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
