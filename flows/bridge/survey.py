"""What a run needs to do: every stage in run order, with what changed since dvc.lock was written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage

from flows.bridge.inputs import edited_lines, separate_inputs, sources, store_edited
from flows.bridge.refusals import check_params
from flows.bridge.repo import claimed, graph, locked, opened, ordered
from flows.bridge.status import RestoredOutputs, StatusCache, hashes, reasons, restorable
from flows.bridge.storage.objects import damages, stored
from flows.system.git import git
from tasks.core.errors import InputError
from tasks.named.choices import hint


@dataclass(frozen=True)
class StageStatus:
    """One stage of the plan, as DVC saw it when it was asked."""

    name: str
    command: str
    after: tuple[str, ...]
    """Stages that it waits for, as dvc.yaml implies them."""
    reasons: tuple[str, ...]
    """Why it is not current, by itself; empty where dvc.lock holds."""
    restorable: bool
    """The cache has the outputs of these inputs. Asked with `look_up` only."""
    uncertain: bool
    """It reads a folder with outputs that would be restored, whose hash nobody knows yet. With `look_up` only."""
    outs: dict[str, str]
    """Path -> hash, as dvc.lock has it."""
    missing: tuple[str, ...]
    """What it reads, is not there, and no stage makes."""
    sources: tuple[str, ...] = ()
    """The .dvc files of what it reads."""


def survey(tell: Callable[[str], None] = lambda line: None, *, look_up: bool = False) -> list[StageStatus]:
    """All stages in run order, with what changed since dvc.lock was written; one pass under DVC's lock.

    Inputs that were edited since `temper data add` are stored anew; with `look_up` they are only named through `tell`.
    A damaged dvc.lock (a kill while DVC wrote it) is mended first and outputs of items that are no longer declared
    are put away, both said through `tell`, as is what of DVC's cache was damaged. With `look_up` no output is put away;
    the run cache is asked instead, and a stage that it would restore counts as restored for the stages below.

    Example, the stages that are not current, each with its reasons:

        for status in survey(print):
            if status.reasons:
                print(status.name, *status.reasons)
    """
    with opened() as repo, locked(repo):
        edges = graph(repo, tell)  # from a stage to what it needs
        stages = ordered(edges)
        with claimed(repo, read=[item.fs_path for stage in stages for item in (*stage.deps, *stage.outs)]):
            tracked = sources(edges, stages)
            if look_up:
                for line in edited_lines(tracked):
                    tell(line)
            else:
                separate_inputs(repo)
                store_edited(repo, tracked, tell)
                _put_away(repo, stages, tell)
            status_cache, produced = StatusCache(), _produced(stages)
            check_params(stages, status_cache.lacking)
            restored: RestoredOutputs | None = {} if look_up else None
            statuses = [_status(stage, edges, status_cache, restored, produced) for stage in stages]
        for line in damages(repo):
            tell(line)
        return statuses


def chosen(statuses: list[StageStatus], names: list[str]) -> set[str]:
    """The stages of these names; `quantize` stands for each `quantize@...`. Raises `InputError` for one of no stage."""
    selected = set()
    for name in names:
        matching = {status.name for status in statuses if name in (status.name, status.name.partition("@")[0])}
        if not matching:
            known = {known for status in statuses for known in (status.name, status.name.partition("@")[0])}
            raise InputError(f"there is no stage {name}; {hint(name, known, 'there are')}")
        selected |= matching
    return selected


def upstream(statuses: list[StageStatus], names: list[str]) -> list[StageStatus]:
    """The stages of these names and those that they need, in run order; all where none is named."""
    if not names:
        return statuses
    selected = chosen(statuses, names)
    for status in reversed(statuses):
        if status.name in selected:
            selected |= set(status.after)
    return [status for status in statuses if status.name in selected]


def missing() -> list[tuple[str, str]]:
    """(stage, dependency) for each dependency that is not there and that no stage makes."""
    with opened() as repo, locked(repo):
        stages = ordered(graph(repo))
        produced = _produced(stages)
        return [(stage.name, path) for stage in stages for path in _missing(stage, produced)]


def unpulled(paths: list[str]) -> list[tuple[str, str, str]]:
    """(path, output, command) for each output that DVC has on record at or around one of `paths`, and that is not here.

    The command of DVC's that brings it is `pull`, or `checkout` where no remote is configured; "" where the cache does
    not have it either.
    """
    if not paths:
        return []
    with opened() as repo, locked(repo):
        remote = repo.config["core"].get("remote")
        outs = [
            out
            for stage in repo.index.stages
            for out in stage.outs
            if out.use_cache and out.hash_info and not out.exists
        ]
        return [
            (path, str(out), "pull" if remote else "checkout" if _is_cached(repo, out) else "")
            for path in paths
            for out in outs
            if overlap(Path(out.fs_path), Path(path).absolute())
        ]


def _is_cached(repo: Repo, out: Output) -> bool:
    """Whether the cache has it; of a folder, its list."""
    return bool(repo.cache.local.whole(out.hash_info.value))


def check_tracked_params() -> None:
    """Raise `SettingsError` where a stage depends on a parameter that its file does not have."""
    with opened() as repo, locked(repo):
        check_params(ordered(graph(repo)), StatusCache().lacking)


def _produced(stages: list[PipelineStage]) -> list[Path]:
    return [Path(out.fs_path) for stage in stages for out in stage.outs]


def _missing(stage: PipelineStage, produced: list[Path]) -> list[str]:
    return [
        str(dep)
        for dep in stage.deps
        if not dep.exists and not any(overlap(Path(dep.fs_path), out) for out in produced)
    ]


def _status(
    stage: PipelineStage, edges: Any, status_cache: StatusCache, restored: RestoredOutputs | None, produced: list[Path]
) -> StageStatus:
    after = tuple(sorted(other.name for other in edges.successors(stage) if isinstance(other, PipelineStage)))
    outs = hashes(stage)
    why = tuple(reasons(stage, status_cache, restored))
    restored_paths = [Path(path) for path in restored or {}]
    reads = [Path(dep.def_path) for dep in stage.deps]
    uncertain = any(
        path != restored_path and overlap(path, restored_path) for path in reads for restored_path in restored_paths
    )
    comes_back = bool(why) and restored is not None and not uncertain and restorable(stage, status_cache, restored)
    lacking, tracked = tuple(_missing(stage, produced)), tuple(source.path for source in sources(edges, [stage]))
    return StageStatus(stage.name, stage.cmd, after, why, comes_back, uncertain, outs, lacking, tracked)


def _put_away(repo: Repo, stages: list[PipelineStage], tell: Callable[[str], None]) -> None:
    """Remove outputs that no stage declares any more from folders that a stage reads (they stay in the cache).

    Such as data/quantized/int8 after int8 left quantize.schemes: a fresh clone would not have it, and the hash of
    data/quantized, which the report depends on, must not depend on the past. dvc.lock is not asked whose it was, since
    one that came back from git does not know. Raises `InputError` where the cache lacks it: nobody could restore it.
    """
    declared = {Path(out.fs_path) for out in repo.index.outs} | _patterns(stages)
    read = {Path(dep.fs_path) for stage in stages for dep in stage.deps}
    strays = [path for folder in read for path in _strays(folder, declared)]
    for path in _only_here(Path(repo.root_dir), strays):
        name = repo.fs.relpath(str(path))
        if repo.dvcignore.is_ignored(repo.fs, str(path)):
            continue  # no part of a hash
        if (path.is_symlink() and path.is_dir()) or not stored(repo, path):
            raise InputError(
                f"{name} belongs to no stage, and DVC's cache does not have it; move it out of {path.parent.name}, "
                "whose hash would otherwise be one that no other checkout can have."
            )
        repo.fs.remove(str(path), recursive=True)
        tell(f"{name} belongs to no stage and was removed (it is still in the cache).")


def _patterns(stages: list[PipelineStage]) -> set[Path]:
    """Outputs of stages with items as dvc.yaml has them, such as data/judged/${item}; also where there is no item."""
    declarations = {stage.dvcfile: Path(stage.wdir) for stage in stages}
    return {
        folder / path
        for file, folder in declarations.items()
        for entry in file.contents["stages"].values()
        for out in entry.get("do", entry).get("outs", [])
        if "${" in (path := out if isinstance(out, str) else next(iter(out)))
    }


def _only_here(root: Path, paths: list[Path]) -> list[Path]:
    """Those of these paths that git leaves alone, so that a clone lacks them; of a folder that git has, its files."""
    if not paths:
        return []

    def listed(*kind: str) -> set[Path]:
        names = git("ls-files", "-z", *kind, "--exclude-standard", "--", *map(str, paths), folder=root)
        return {root / name for name in names.split("\0") if name}

    cloned, ignored = listed("--cached", "--others"), listed("--others", "--ignored")
    whole = {path for path in paths if not any(file.is_relative_to(path) for file in cloned)}
    return sorted({next((path for path in whole if file.is_relative_to(path)), file) for file in ignored})


def _strays(folder: Path, declared: set[Path]) -> Iterator[Path]:
    """What lies in `folder` beside the outputs that are declared below it; nothing where none is."""
    if not folder.is_dir() or not any(folder in out.parents for out in declared):
        return
    for path in folder.iterdir():
        if any(path in out.parents for out in declared):
            yield from _strays(path, declared)
        elif path not in declared:
            yield path


def overlap(one: Path, other: Path) -> bool:
    """Whether one of two paths is the other, or lies in it."""
    return one.is_relative_to(other) or other.is_relative_to(one)
