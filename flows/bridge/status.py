"""What changed about a stage, as DVC sees it, and whether the run cache knows its outputs."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from dvc.dependency import Dependency, ParamsDependency
from dvc.output import Output
from dvc.stage import PipelineStage
from dvc.utils.serialize import load_path

from flows.bridge.lockfile import LOCK
from flows.bridge.storage import run_cache
from flows.bridge.storage.objects import complete, looking_at
from flows.params.diff import parameters

RestoredOutputs = dict[str, Output]
"""Outputs that would be restored, by their path, with their hashes."""

NEVER = "it has not run yet"
"""The reason of a stage that dvc.lock does not know."""


class StatusCache:
    """What one pass under DVC's lock has seen already: many stages read the same files and the same params.yaml."""

    def __init__(self) -> None:
        self._statuses: dict[tuple[str, str | None], str] = {}
        self._documents: dict[str, Any] = {}
        self._edited: list[tuple[str, str]] | None = None

    def status(self, dep: Dependency) -> str:
        """DVC's word for what became of a dependency since dvc.lock, "" for nothing."""
        key = (dep.fs_path, dep.hash_info.value)
        if key not in self._statuses:
            with looking_at(dep.repo, dep):
                self._statuses[key] = next(iter(dep.status().values()), "")
        return self._statuses[key]

    def values(self, dep: ParamsDependency) -> dict[str, Any]:
        """The parameters of a dependency as its file has them now; those that it lacks are left out."""
        if dep.fs_path not in self._documents:
            self._documents[dep.fs_path] = load_path(dep.fs_path, dep.repo.fs)
        document = self._documents[dep.fs_path]
        values = {}
        for name in dep.params:
            with suppress(KeyError, TypeError):
                values[name] = reduce(getitem, name.split("."), document)
        return values if dep.params else document

    def edited(self, path: str) -> list[str]:
        """Files at or below `path` that differ from the commit that dvc.lock was last recorded in: the likely cause.

        DVC records one hash for a folder, so git is asked which file it was, and of those it names, the ones written
        since dvc.lock. Empty where git knows of no difference. It is asked once for all paths.
        """
        if self._edited is None:
            self._edited = [(_real(name), name) for name in _edited()]
        own = _real(path)
        names = [name for real, name in self._edited if real == own or real.startswith(f"{own}{os.sep}")]
        written = LOCK.stat().st_mtime if LOCK.exists() else 0.0
        recent = [name for name in names if not Path(name).exists() or Path(name).stat().st_mtime >= written]
        return recent or names

    def lacking(self, dep: ParamsDependency) -> list[str]:
        """The parameters of a dependency that its file does not have."""
        values = self.values(dep)
        return [name for name in dep.params if name not in values]


def reasons(stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs | None = None) -> list[str]:
    """Why DVC would not skip this stage, asked as `Stage.changed` does but to the end; empty where it would.

    A dependency in `restored` counts as having the hash it would have there, whatever lies on disk.
    """
    if not any(item.hash_info for item in (*stage.deps, *stage.outs)):
        return [NEVER]
    if _cut_off(stage):
        return ["its entry in dvc.lock was cut off"]
    lines = list(_inputs(stage, status_cache, restored))
    for out in stage.outs:
        with looking_at(stage.repo, out):
            statuses = out.status()
        lines += [f"output {path} {_WORDS.get(status, 'was changed')}" for path, status in statuses.items()]
    return lines


def only_missing(stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs | None = None) -> bool:
    """Whether dvc.lock holds but for missing outputs, and the cache has those; `dvc repro --pull` asks so."""
    if _differs(stage, status_cache, restored) or not all(out.hash_info for out in stage.outs) or _cut_off(stage):
        return False
    return all((not out.exists and out.use_cache and complete(out)) or not out.status() for out in stage.outs)


def edited_record(stage: PipelineStage) -> bool:
    """Whether a record that stays when the stage runs again (`persist`) is there and is not what dvc.lock says."""
    return any(out.persist and out.exists and out.hash_info and out.status() for out in stage.outs)


def _cut_off(stage: PipelineStage) -> bool:
    """Whether an output has a hash in dvc.lock and not the size that DVC writes behind it: a kill came between."""
    return any(
        out.hash_info and None in (out.meta.size, out.meta.nfiles if out.hash_info.isdir else 0) for out in stage.outs
    )


def _inputs(
    stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs | None, *, name_files: bool = True
) -> Iterator[str]:
    """What of `reasons` is about command, dependencies and parameters; `name_files`: with the files of a folder."""
    if stage.cmd_changed:
        yield f"its command has changed to: {stage.cmd}"
    for dep in stage.deps:
        if restored and dep.def_path in restored:
            if dep.hash_info != restored[dep.def_path].hash_info:
                yield f"{dep} changed"
        elif isinstance(dep, ParamsDependency) and dep.exists:
            yield from parameters(dep.hash_info.value or {}, status_cache.values(dep))
        elif status := status_cache.status(dep):
            files = status_cache.edited(dep.fs_path) if name_files and dep.exists else []
            yield from [f"file {file} changed" for file in files] or [f"{dep} {_WORDS.get(status, 'changed')}"]


def _differs(stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs | None) -> bool:
    """Whether `_inputs` has anything to say, without asking git for names."""
    return any(_inputs(stage, status_cache, restored, name_files=False))


_WORDS = {"deleted": "is missing", "not in cache": "is not in the cache", "new": "is new"}


def _edited() -> list[str]:
    """Files of this folder that differ from the commit that dvc.lock was last recorded in, or are none of git's."""
    recorded = _git("log", "-1", "--format=%H", "--", str(LOCK)) or ["HEAD"]
    return [
        *_git("diff", "--name-only", "--relative", recorded[0], "--", "."),
        *_git("ls-files", "--others", "--exclude-standard", "--", "."),
    ]


def _real(path: str) -> str:
    """The one path of a file or of a link, whichever way leads there."""
    folder, name = os.path.split(path)
    return f"{os.path.realpath(folder).rstrip(os.sep)}{os.sep}{name}"


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.splitlines()


def restorable(stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs) -> bool:
    """Whether the cache has the outputs of this stage; if so, they go to `restored`. The stage object is spent."""
    if only_missing(stage, status_cache, restored):
        restored.update({out.def_path: out for out in stage.outs})
        return True
    if edited_record(stage) and not _differs(stage, status_cache, restored):
        return False
    for dep in stage.deps:
        if dep.def_path in restored:
            dep.hash_info, dep.meta = restored[dep.def_path].hash_info, restored[dep.def_path].meta
        elif not dep.exists:
            return False
        else:
            dep.save()  # in memory
    for record in run_cache.entries(stage):
        if all(complete(out) for out in record.outs):
            restored.update({out.def_path: out for out in record.outs})
            return True
    return False


def hashes(stage: PipelineStage) -> dict[str, str]:
    """Path -> hash of each output, as the stage object has them."""
    return {out.def_path: out.hash_info.value or "" for out in stage.outs}
