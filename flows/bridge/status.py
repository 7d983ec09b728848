"""What changed about a stage, as DVC sees it, and whether the run cache knows its outputs."""

from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from dvc.dependency import Dependency, ParamsDependency
from dvc.output import Output
from dvc.stage import PipelineStage
from dvc.stage.cache import _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils.serialize import load_path

from flows.bridge.edited import edited
from flows.params.diff import parameters

RestoredOutputs = dict[str, Output]
"""Outputs that would be restored, by their path, with their hashes."""


class StatusCache:
    """What one pass under DVC's lock has seen already: many stages read the same files and the same params.yaml."""

    def __init__(self) -> None:
        self._statuses: dict[tuple[str, str | None], str] = {}
        self._documents: dict[str, Any] = {}

    def status(self, dep: Dependency) -> str:
        """DVC's word for what became of a dependency since dvc.lock, "" for nothing."""
        key = (dep.fs_path, dep.hash_info.value)
        if key not in self._statuses:
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


def reasons(stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs | None = None) -> list[str]:
    """Why DVC would not skip this stage, asked as `Stage.changed` does but to the end; empty where it would.

    A dependency in `restored` counts as having the hash it would have there, whatever lies on disk.
    """
    if not any(item.hash_info for item in (*stage.deps, *stage.outs)):
        return ["it has no entry in dvc.lock yet"]
    lines = _inputs(stage, status_cache, restored)
    for out in stage.outs:
        lines += [f"output {path} {_WORDS.get(status, 'was changed')}" for path, status in out.status().items()]
    return lines


def only_missing(stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs | None = None) -> bool:
    """Whether dvc.lock holds but for outputs that are not there, and the cache has those: `dvc repro --pull` asks so.

    The run cache knows nothing of stages with an output that stays when they run again (`persist`); dvc.lock does.
    """
    if _inputs(stage, status_cache, restored) or not all(out.hash_info for out in stage.outs):
        return False
    return all(not out.status() or (not out.exists and out.use_cache and not out.changed_cache()) for out in stage.outs)


def _inputs(stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs | None) -> list[str]:
    """What of `reasons` is about command, dependencies and parameters."""
    lines = [f"its command is now: {stage.cmd}"] if stage.cmd_changed else []
    for dep in stage.deps:
        if restored and dep.def_path in restored:
            lines += [f"{dep} changed"] if dep.hash_info != restored[dep.def_path].hash_info else []
        elif isinstance(dep, ParamsDependency) and dep.exists:
            lines += parameters(dep.hash_info.value or {}, status_cache.values(dep))
        elif status := status_cache.status(dep):
            files = edited(Path(dep.fs_path)) if dep.exists else []
            lines += [f"file {file} changed" for file in files] or [f"{dep} {_WORDS.get(status, 'changed')}"]
    return lines


_WORDS = {"deleted": "is missing", "not in cache": "is not in the cache", "new": "is new"}


def restorable(stage: PipelineStage, status_cache: StatusCache, restored: RestoredOutputs) -> bool:
    """Whether the cache has the outputs of this stage; if so, they go to `restored`. The stage object is spent."""
    if only_missing(stage, status_cache, restored):
        restored.update({out.def_path: out for out in stage.outs})
        return True
    for dep in stage.deps:
        if dep.def_path in restored:
            dep.hash_info, dep.meta = restored[dep.def_path].hash_info, restored[dep.def_path].meta
        elif not dep.exists:
            return False
        else:
            dep.save()  # in memory
    cache = stage.repo.stage_cache
    key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
    entries = sorted(Path(cache._get_cache_dir(key)).glob("*"), key=lambda file: file.stat().st_mtime)
    if not entries or not (entry := cache._load_cache(key, entries[-1].name)):
        return False
    outs = cache._create_stage(entry, wdir=stage.wdir).outs
    if any(out.changed_cache() for out in outs):
        return False
    restored.update({out.def_path: out for out in outs})
    return True


def hashes(stage: PipelineStage) -> dict[str, str]:
    """Path -> hash of each output, as the stage object has them."""
    return {out.def_path: out.hash_info.value or "" for out in stage.outs}
