"""The bridge between Prefect and DVC: one dvc.yaml, two drivers. The only file that touches DVC's internals.

`survey` asks DVC about all stages at once; `bring` makes one stage current by DVC's own rules, inside this process,
and says how: unchanged (dvc.lock holds), restored (the run cache knows these inputs) or ran. What DVC does not
document, and this file relies on, was read in DVC 3.67; tests/flows/test_parity.py compares it with the `dvc` command.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import networkx as nx
from dvc.dependency import ParamsDependency
from dvc.exceptions import CheckoutError, DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.output import Output
from dvc.parsing import ResolveError
from dvc.repo import Repo
from dvc.rwlock import rwlock
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.scm import SCMError
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError, _get_cache_hash
from dvc.stage.run import prepare_kwargs
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils.serialize import ParseError, dump_yaml, parse_yaml, parse_yaml_for_update
from voluptuous import Invalid

from flows.child import Command
from flows.lockfile import mend
from flows.reasons import edited, parameters
from tasks.contract.errors import Busy, InputChanged, InputError, MachineError, SettingsError, StageFailed
from tasks.contract.files import written

How = Literal["unchanged", "restored", "ran"]

Known = dict[str, Output]
"""Outputs that would be restored, by their path, with their hashes."""

logging.getLogger("dvc").setLevel(logging.WARNING)

_here = threading.RLock()
"""DVC's locks do not exclude threads of one process (same pid, same command): this one does."""


@dataclass(frozen=True)
class Need:
    """One stage of the plan, as DVC saw it when it was asked."""

    name: str
    command: str
    after: tuple[str, ...]
    """Stages that it waits for, as dvc.yaml implies them."""
    reasons: tuple[str, ...]
    """Why it is not current, by itself; empty where dvc.lock holds."""
    restorable: bool
    """The run cache knows the outputs of these inputs. Asked with `look_up` only."""
    uncertain: bool
    """It reads a folder with outputs that would be restored, whose hash nobody knows yet. With `look_up` only."""
    outs: dict[str, str]
    """Path -> hash, as dvc.lock has it."""


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


def survey(tell: Callable[[str], None] = lambda line: None, *, look_up: bool = False) -> list[Need]:
    """All stages in run order, with what changed since dvc.lock was written; one pass under DVC's lock.

    A damaged dvc.lock (a kill while DVC wrote it) is mended first and outputs of items that are no longer declared
    are put away, both said through `tell`. With `look_up` nothing is put away; the run cache is asked instead, and a
    stage that it would restore counts as restored for the stages below.
    """
    with _opened() as repo, _locked(repo):
        graph = _graph(repo, tell)  # edges point from a stage to what it needs
        stages = _ordered(graph)
        with _claimed(repo, read=[item.fs_path for stage in stages for item in (*stage.deps, *stage.outs)]):
            if not look_up:
                _put_away(repo, stages, tell)
            known: Known | None = {} if look_up else None
            return [_need(stage, graph, known) for stage in stages]


def bring(name: str, run: Callable[[Command], float], *, force: bool = False) -> Outcome:
    """Make one stage current; `run` carries out its command where it must, and returns the seconds it took.

    Raises:
        InputError: a dependency is not there.
        InputChanged: a dependency or parameter was edited meanwhile; dvc.lock is as it was.
        StageFailed: the command failed, or an output is missing; dvc.lock is as it was.
        Busy: another process works on these paths.
    """
    start = time.perf_counter()
    with _opened() as repo:
        with _locked(repo):
            stage = repo.stage.load_one(name=name)
            why = ("asked for with --force",) if force else tuple(_reasons(stage))
            if not why:
                return Outcome(name, "unchanged", (), _hashes(stage), time.perf_counter() - start)
            if missing := [str(dep) for dep in stage.deps if not dep.exists]:
                raise InputError(f"{name}: {', '.join(missing)} is missing; put it there, then run again.")
        paths = {"read": [dep.fs_path for dep in stage.deps], "write": [out.fs_path for out in stage.outs]}
        with _claimed(repo, **paths):
            with _locked(repo):
                stage.remove_outs()
                restored = not force and _restore(stage)  # before save_deps: restore trusts the lock entry as loaded
                stage.save_deps()
                before = _inputs(stage)
            seconds = None if restored else run(_command(stage))  # DVC's lock is free meanwhile, the paths are not
            with _locked(repo):
                repo._reset()  # forget what was cached of the file tree: the command wrote to it
                _record(stage, before)
        how: How = "restored" if restored else "ran"
        return Outcome(name, how, why, _hashes(stage), seconds or time.perf_counter() - start)


def arrange() -> None:
    """Put the entries of dvc.lock in the order in which `dvc repro` writes them, not the one in which stages ended.

    So that equal runs give equal bytes, and merging two branches gives no conflict that is none.
    """
    with _opened() as repo, _locked(repo):
        order = {stage.name: place for place, stage in enumerate(_ordered(_graph(repo)))}
        path = Path(repo.root_dir) / "dvc.lock"
        document = parse_yaml_for_update(path.read_text(), path)
        names = sorted(document["stages"], key=lambda name: order.get(name, len(order)))
        if names == list(document["stages"]):
            return
        for name in names:
            document["stages"].move_to_end(name)
        with written(path) as aside:
            dump_yaml(aside, document)


def missing() -> list[tuple[str, str]]:
    """(stage, dependency) for each dependency that is not there and that no stage makes."""
    with _opened() as repo, _locked(repo):
        stages = _ordered(_graph(repo))
        made = [Path(out.fs_path) for stage in stages for out in stage.outs]
        return [
            (stage.name, str(dep))
            for stage in stages
            for dep in stage.deps
            if not dep.exists and not any(_overlap(Path(dep.fs_path), out) for out in made)
        ]


def cache() -> Path:
    """The folder of DVC's cache."""
    with _opened() as repo:
        return Path(repo.cache.local.path)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _need(stage: PipelineStage, graph: Any, known: Known | None) -> Need:
    after = tuple(sorted(other.name for other in graph.successors(stage) if isinstance(other, PipelineStage)))
    outs = _hashes(stage)
    why = tuple(_reasons(stage, known))
    places = [Path(path) for path in known or {}]
    reads = [Path(dep.def_path) for dep in stage.deps]
    uncertain = any(path != place and _overlap(path, place) for path in reads for place in places)
    restorable = bool(why) and known is not None and not uncertain and _look_up(stage, known)
    return Need(stage.name, stage.cmd, after, why, restorable, uncertain, outs)


def _reasons(stage: PipelineStage, known: Known | None = None) -> list[str]:
    """Why DVC would not skip this stage, asked as `Stage.changed` does but to the end; empty where it would.

    A dependency in `known` counts as having that hash, whatever lies there.
    """
    if not any(item.hash_info for item in (*stage.deps, *stage.outs)):
        return ["it has no entry in dvc.lock yet"]
    lines = [f"its command is now: {stage.cmd}"] if stage.cmd_changed else []
    for dep in stage.deps:
        if known and dep.def_path in known:
            lines += [f"{dep} changed"] if dep.hash_info != known[dep.def_path].hash_info else []
            continue
        status = dep.status()
        if status and isinstance(dep, ParamsDependency) and dep.exists:
            lines += parameters(dep.hash_info.value or {}, dep.read_params())
        elif status:
            files = edited(Path(dep.fs_path)) if dep.exists else []
            word = {"deleted": "is missing", "new": "is new"}.get(status[str(dep)], "changed")
            lines += [f"file {file} changed" for file in files] or [f"{dep} {word}"]
    words = {"deleted": "is missing", "not in cache": "is not in the cache", "new": "is new"}
    for out in stage.outs:
        lines += [f"output {path} {words.get(status, 'was changed')}" for path, status in out.status().items()]
    return lines


def _ordered(graph: Any) -> list[PipelineStage]:
    """The stages, each after those that it needs."""
    return [stage for stage in nx.dfs_postorder_nodes(graph) if isinstance(stage, PipelineStage)]


def _graph(repo: Repo, tell: Callable[[str], None] = lambda line: None) -> Any:
    try:
        return repo.index.graph
    except DvcException:
        if not (mended := mend(Path(repo.root_dir) / "dvc.lock", _readable)):
            raise
        tell(mended)
        repo._reset()
        return repo.index.graph


def _readable(content: bytes) -> bool:
    """Whether DVC can read this as a dvc.lock."""
    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(content.decode(), "dvc.lock"))
    except (ParseError, Invalid, UnicodeDecodeError):
        return False
    return True


def _put_away(repo: Repo, stages: list[PipelineStage], tell: Callable[[str], None]) -> None:
    """Remove outputs that no stage declares any more from folders that a stage reads (they stay in the cache).

    Such as data/quantized/int8 after int8 left quantize.schemes: a fresh clone would not have it, and the hash of
    data/quantized, which the report depends on, must not depend on the past.
    """
    declared = {out.def_path for stage in stages for out in stage.outs}
    read = [Path(dep.fs_path) for stage in stages for dep in stage.deps]
    recorded = stages[0].dvcfile.lockfile_contents.get("stages", {}) if stages else {}
    for entry in recorded.values():
        if not {out["path"] for out in entry.get("outs", [])} - declared:
            continue
        for out in repo.stage_cache._create_stage(entry).outs:
            path = Path(out.fs_path)
            if out.def_path in declared or not out.exists or not any(folder in path.parents for folder in read):
                continue
            if out.status():
                raise InputError(f"{out} is of no stage any more, and was edited; move it out of {path.parent.name}.")
            out.remove()
            tell(f"{out} is of no stage any more: removed (it stays in the cache).")


def _look_up(stage: PipelineStage, known: Known) -> bool:
    """Whether the run cache has the outputs of this stage; if so, they go to `known`. The stage object is spent."""
    for dep in stage.deps:
        if dep.def_path in known:
            dep.hash_info, dep.meta = known[dep.def_path].hash_info, known[dep.def_path].meta
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
    known.update({out.def_path: out for out in outs})
    return True


def _restore(stage: PipelineStage) -> bool:
    try:
        stage.repo.stage_cache.restore(stage)
    except (RunCacheNotFoundError, CheckoutError):
        return False
    return True


def _record(stage: PipelineStage, before: dict[str, Any]) -> None:
    """Hash what was made, and write cache, run cache and dvc.lock, unless the inputs are no longer what they were.

    The run cache comes last but one: an entry made from changed inputs would hand out wrong outputs for ever.
    """
    if unwritten := [str(out) for out in stage.outs if not out.exists]:
        raise StageFailed(f"{stage.name}: the command ended well but did not write {', '.join(unwritten)}.")
    stage.save(run_cache=False)
    after = _inputs(stage)
    if after != before:
        raise InputChanged(
            f"{stage.name}: {', '.join(_differing(before, after))} changed while it ran, so what it made belongs to "
            "neither version; dvc.lock is as it was. Run again."
        )
    stage.commit()
    if all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs):
        stage.repo.stage_cache.save(stage)
    stage.dump(update_pipeline=False)


def _inputs(stage: PipelineStage) -> dict[str, Any]:
    """What went in: the part of the lock entry that names command, dependencies and parameters."""
    entry = to_single_stage_lockfile(stage)
    return {key: entry.get(key) for key in ("cmd", "deps", "params")}


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    old = {dep["path"]: dep for dep in before["deps"] or []}
    paths = [dep["path"] for dep in after["deps"] or [] if dep != old.get(dep["path"])]
    files = [file for file, values in (after["params"] or {}).items() if values != (before["params"] or {}).get(file)]
    return paths + files


def _hashes(stage: PipelineStage) -> dict[str, str]:
    return {out.def_path: out.hash_info.value or "" for out in stage.outs}


def _command(stage: PipelineStage) -> Command:
    """The command as `dvc repro` would start it, with this interpreter first on the path."""
    options = prepare_kwargs(stage)
    path = os.pathsep.join([str(Path(sys.executable).parent), options["env"].get("PATH", os.defpath)])
    return Command(stage.name, stage.cmd, Path(options["cwd"]), {**options["env"], "PATH": path})


def _claimed(repo: Repo, read: list[str], write: list[str] | None = None) -> AbstractContextManager[None]:
    """DVC's per-path locks, held under the name its own methods use so that they nest: `dvc repro` stays out."""
    return rwlock(repo.tmp_dir, repo.fs, " ".join(sys.argv), read, write or [], False)  # type: ignore[no-any-return]


@contextmanager
def _locked(repo: Repo) -> Iterator[None]:
    with _here, repo.lock:
        yield


@contextmanager
def _opened() -> Iterator[Repo]:
    """The checkout in the current folder; what DVC raises comes out as one sentence."""
    try:
        with Repo(_wait_for_lock=True) as repo:  # the default gives up after 3 s, also after hours of training
            yield repo
    except NotDvcRepoError:
        raise MachineError("DVC is not set up here; run: dvc init") from None
    except SCMError:
        raise MachineError("this folder is no git repository; run: git init && dvc init") from None
    except LockError as error:
        raise Busy(f"another DVC command works here: {_one_line(error)}") from None
    except DvcException as error:
        kind = SettingsError if isinstance(error, ResolveError | ParseError) else MachineError
        raise kind(_one_line(error)) from error


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith(".") else f"{text}."
