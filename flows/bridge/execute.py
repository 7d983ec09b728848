"""How a stage becomes current: unchanged, restored from the cache, or by running its command."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.cache import _get_cache_hash
from dvc.stage.run import prepare_kwargs
from dvc.stage.serialize import to_single_stage_lockfile

from flows.bridge.inputs import store_edited
from flows.bridge.lockfile import LOCK, record
from flows.bridge.repo import claimed, forget_dead_claims, link_outputs, locked, opened
from flows.bridge.status import StatusCache, hashes, only_missing, reasons
from flows.bridge.storage import run_cache
from flows.bridge.storage.objects import damages, store
from flows.bridge.storage.restore import check_out_missing, download, recorded, restore
from flows.system.file_lock import file_lock
from flows.system.process import Command
from tasks.core.errors import InputChanged, InputError, StageFailed, Unavailable

How = Literal["unchanged", "restored", "ran"]


@dataclass(frozen=True)
class Outcome:
    """How a stage became current."""

    stage: str
    how: How
    reasons: tuple[str, ...]
    outs: dict[str, str]
    """Path -> hash."""
    seconds: float
    """Of the command where it ran, of the question or the restoring where not."""


def ensure_current(
    name: str,
    run: Callable[[Command], float],
    *,
    force: bool = False,
    sources: Iterable[str] = (),
    wait: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda line: None,
    remote: str | None = None,
    elsewhere: Callable[[str], float] | None = None,
) -> Outcome:
    """Make one stage current; `run` carries out its command where it must, and returns the seconds it took.

    `sources`: the .dvc files of what it reads. What was edited since is stored anew before anything runs, so that
    dvc.lock never names an input that nobody keeps.

    Where another worktree with the same cache runs the very same stage with the same inputs, wait for its outputs;
    `wait` is called again and again meanwhile, and may raise to give up. What the cache lacks is taken from the DVC
    remote of the name `remote`, "" for the default one; None: from nowhere. What a person should know is said through
    `tell`: objects of the cache that were damaged, a remote that does not answer. With `elsewhere` another machine runs
    the command, not `run`: it is called with what identifies the stage and its inputs (`stage_key`), and returns, with
    the seconds it took, when its outputs are in the remote, and entered in its run cache.

    Raises:
        InputError: a dependency is not there.
        InputChanged: a dependency or parameter was edited meanwhile; dvc.lock is as it was.
        StageFailed: the command failed, or an output is missing; dvc.lock is as it was.
        MachineError: the outputs could not be stored; they stay where they are, dvc.lock is as it was.
        Busy: another process works on these paths.
        Unavailable: it ran elsewhere, and the remote does not have what it made.

    Example, within a run:

        children = Children()
        outcome = ensure_current("train", lambda command: children.run(command, print, progress, timeout=None))
        print(outcome.how)  # unchanged, restored or ran
    """
    start = time.perf_counter()
    with opened() as repo:
        link_outputs(repo)
        with locked(repo):
            stage, status_cache = repo.stage.load_one(name=name), StatusCache()
            why = ("requested with --force",) if force else tuple(reasons(stage, status_cache))
            if not why:
                return Outcome(name, "unchanged", (), hashes(stage), time.perf_counter() - start)
            if missing := [str(dep) for dep in stage.deps if not dep.exists]:
                raise InputError(f"{name}: {', '.join(missing)} is missing; add it, then run again.")
        paths = {"read": [dep.fs_path for dep in stage.deps], "write": [out.fs_path for out in stage.outs]}
        with claimed(repo, **paths):
            with locked(repo):
                current = not force and only_missing(stage, status_cache) and check_out_missing(stage)
            if current:
                return Outcome(name, "restored", why, hashes(stage), time.perf_counter() - start)
            with locked(repo):
                records = [] if force else recorded(stage)
                stage.save_deps()
                before = _inputs(stage)
                # after the hashes, which are compared at the end: a later edit is none that dvc.lock would name
                store_edited(repo, [repo.stage.load_one(source) for source in sources], tell)
            if remote is not None:
                download(name, records, remote, tell)
            with locked(repo):
                restored = restore(stage, records)
            for line in damages(repo):
                tell(line)
            away = None
            if elsewhere and not restored and (key := _key(stage)):
                away = elsewhere(key)
                run_cache.fetch(repo, key, remote or "")
                with locked(repo):
                    repo._reset()
                    stage = repo.stage.load_one(name=name)  # `recorded` wants the inputs as dvc.lock has them
                    records = recorded(stage)
                download(name, records, remote or "", tell)
                with locked(repo):
                    stage.save_deps()
                    if not (restored := restore(stage, records)):
                        raise Unavailable(f"{name} ran on another machine, and its outputs did not arrive complete.")
            with file_lock(_running_lock(stage), wait) as first:
                if not (first or restored or force):
                    with locked(repo):
                        repo._reset()
                        stage = repo.stage.load_one(name=name)
                        restored = restore(stage, recorded(stage))
                        stage.save_deps()
                seconds = None if restored else run(_command(stage))  # DVC's lock is free meanwhile, the paths are not
                with locked(repo):
                    repo._reset()  # forget what was cached of the file tree: the command wrote to it
                    _record(stage, before)
                for line in damages(repo):
                    tell(line)
        how: How = "restored" if restored and away is None else "ran"
        return Outcome(name, how, why, hashes(stage), seconds or away or time.perf_counter() - start)


def _running_lock(stage: PipelineStage) -> Path:
    """A file beside the run cache, named by what goes into the stage: who shares the cache shares it."""
    return _running(stage.repo) / (_key(stage) or stage.name)


def stage_key(name: str) -> str:
    """What identifies a stage with its command, inputs and parameters as they are here; "" where DVC has none."""
    with opened() as repo, locked(repo):
        stage = repo.stage.load_one(name=name)
        stage.save_deps()
        return _key(stage)


def shared(key: str, remote: str | None) -> bool:
    """Whether the run cache of the DVC remote (None: the default one) knows what came out of the stage of this key.

    Raises `Unavailable` where the remote is away.
    """
    with opened() as repo:
        run_cache.fetch(repo, key, remote or "")
        return run_cache.known(repo, key)


def _key(stage: PipelineStage) -> str:
    return _get_cache_hash(to_single_stage_lockfile(stage), key=True) or ""


def _running(repo: Repo) -> Path:
    runs = Path(repo.stage_cache.cache_dir)
    return runs.with_name("running")


def remove_stale_locks() -> None:
    """Remove the lock files of stages whose process has died, and what it claimed of this checkout."""
    with opened() as repo:
        forget_dead_claims(repo)
        for lock in _running(repo).glob("*"):
            with file_lock(lock):
                pass


def _record(stage: PipelineStage, before: dict[str, Any]) -> None:
    """Hash what was made, and write cache, run cache and dvc.lock, unless the inputs are no longer what they were.

    The run cache comes last but one: an entry made from changed inputs would hand out wrong outputs for ever.
    """
    if unwritten := [str(out) for out in stage.outs if not out.exists]:
        raise StageFailed(f"{stage.name}: the command succeeded but did not write {', '.join(unwritten)}.")
    stage.save(run_cache=False)
    after = _inputs(stage)
    if after != before:
        raise InputChanged(
            f"{stage.name}: {', '.join(_differing(before, after))} changed while it ran, so its outputs belong to "
            "neither version; dvc.lock is unchanged. Run again."
        )
    _store(stage)
    run_cache.keep(stage)
    if not record(Path(stage.repo.root_dir) / LOCK, stage.name, to_single_stage_lockfile(stage)):
        stage.dump(update_pipeline=False)


def _store(stage: PipelineStage) -> None:
    """Copy what was made into the cache, and only when it is there replace it by links to it.

    DVC does both at once, and goes on after a copy that failed: what took hours to make would be gone.
    """
    store(stage.outs, stage.name, f"dvc commit --force {stage.name}")
    stage.commit()


def _inputs(stage: PipelineStage) -> dict[str, Any]:
    """What went in: the part of the lock entry that names command, dependencies and parameters."""
    entry = to_single_stage_lockfile(stage)
    return {key: entry.get(key) for key in ("cmd", "deps", "params")}


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    old = {dep["path"]: dep for dep in before["deps"] or []}
    paths = [dep["path"] for dep in after["deps"] or [] if dep != old.get(dep["path"])]
    files = [file for file, values in (after["params"] or {}).items() if values != (before["params"] or {}).get(file)]
    return paths + files


def _command(stage: PipelineStage) -> Command:
    """The command as `dvc repro` would start it, with this interpreter first on the path."""
    options = prepare_kwargs(stage)
    path = os.pathsep.join([str(Path(sys.executable).parent), options["env"].get("PATH", os.defpath)])
    return Command(stage.name, stage.cmd, Path(options["cwd"]), {**options["env"], "PATH": path})
