"""What goes in and is tracked by DVC (`.dvc` files, records that stages keep), and DVC's settings of a worktree."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dvc.config import Config, merge
from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage, Stage
from dvc.stage.serialize import to_single_stage_file
from dvc.utils.serialize import dump_yaml

from flows.bridge.lockfile import LOCK
from flows.bridge.repo import graph, locked, opened, ordered
from flows.bridge.storage.objects import damages, intact, looking_at, store, stored
from flows.bridge.storage.site_cache import site_cache
from flows.system.private import private_folder
from tasks.core.errors import InputError, MachineError
from tasks.core.files import written


def configure_worktree(main: Path) -> None:
    """Give the worktree in the current folder the cache and the remotes of the checkout `main`.

    What DVC remembers of files lies in the worktree and goes with it.
    """
    theirs = Config(dvc_dir=str(main / ".dvc"), validate=False)
    with Config(dvc_dir=str(Path(".dvc").absolute()), validate=False).edit("local") as local:
        for level in ("repo", "local"):  # of the checkout as it lies there: what a revision says of remotes may be old
            merge(local, theirs.load_one(level))
        local["cache"]["dir"] = theirs.get("cache", {}).get("dir") or str(main / ".dvc/cache")
        local["core"]["site_cache_dir"] = str(private_folder(site_cache(Path.cwd())))


def checkout_inputs(tell: Callable[[str], None] = lambda line: None, remote: str | None = None) -> None:
    """Check out what the project tracks by .dvc files, and the records of stages: from the cache, else from a remote.

    `remote` is the name of a DVC remote; None: the default one. A record (`persist` in dvc.yaml) goes into its stage as
    well as it comes out: with it, nothing is paid for twice. Where it cannot be had `tell` hears of it, as of what is
    damaged. Raises `MachineError` where neither cache nor remote has another one whole.
    """
    with opened() as repo:
        with locked(repo):
            tracked = [stage for stage in repo.index.stages if not isinstance(stage, PipelineStage)]
            kept = [out for stage in repo.index.stages for out in stage.outs if out.persist and out.hash_info]
            inputs = [out for stage in tracked for out in stage.outs if out.use_cache]
            lost, gone = _lacking(repo, inputs, tell), _lacking(repo, kept, tell)
        remote = remote or repo.config["core"].get("remote")
        if lost and not remote:
            raise MachineError(f"{', '.join(lost)}: not in DVC's cache, and no remote is configured to pull it from.")
        targets = [stage.addressing for stage in tracked]
        if lost or (gone and remote):
            repo.fetch([*targets, *gone], remote=remote)
            with locked(repo):
                lost, gone = _lacking(repo, inputs, tell), _lacking(repo, kept, tell)
            if lost:
                raise MachineError(f"{', '.join(lost)}: the copy on the remote {remote} is damaged; push it again.")
        if targets:
            repo.checkout(targets, force=True)
        with locked(repo):
            for out in kept:
                if str(out) in gone:
                    tell(f"{out}: in neither DVC's cache nor a remote; its responses will be requested again.")
                else:
                    out.checkout(force=True)


def _lacking(repo: Repo, outs: list[Output], tell: Callable[[str], None]) -> list[str]:
    """Those that the cache does not have whole; each object is read."""
    lacking = [str(out) for out in outs if not intact(out)]
    for line in damages(repo):
        tell(line)
    return lacking


def separate_inputs(repo: Repo) -> None:
    """Give inputs that are linked to DVC's cache files of their own: an edit then leaves the old version alone."""
    for stage in repo.index.stages:
        for out in () if isinstance(stage, PipelineStage) else stage.outs:
            if out.use_cache and out.exists and _linked(Path(out.fs_path)):
                out.unprotect()


def _linked(path: Path) -> bool:
    files = (file for file in path.rglob("*") if not file.is_dir()) if path.is_dir() else iter([path])
    return any(file.is_symlink() or file.stat().st_nlink > 1 for file in files)


def sources(graph: Any, stages: Iterable[PipelineStage]) -> list[Stage]:
    """The .dvc files of what `stages` read, each once. `graph`: edges from a stage to what it needs."""
    read = {source: None for stage in stages for source in graph.successors(stage)}
    return [source for source in read if not isinstance(source, PipelineStage)]


def edited(stage: Stage) -> list[Output]:
    """What the .dvc file of `stage` tracks, and is here as something else than the file says. Nothing is changed."""
    outs = [out for out in stage.outs if out.use_cache and out.exists]
    with looking_at(stage.repo, stage.relpath):
        return [out for out in outs if out.changed_checksum()]


def edited_lines(stages: Iterable[Stage]) -> Iterator[str]:
    """A sentence for each input that `store_edited` would store."""
    for stage in stages:
        for out in edited(stage):
            yield f"{out} has changed since it was added; temper run stores it anew and updates {stage.relpath}."


def edited_inputs() -> list[str]:
    """A sentence for each input that a stage reads, and that was edited since `temper data add`."""
    with opened() as repo, locked(repo):
        edges = graph(repo)
        return list(edited_lines(sources(edges, ordered(edges))))


def store_edited(repo: Repo, stages: Iterable[Stage], tell: Callable[[str], None]) -> None:
    """Store inputs anew that were edited since they were added, and write that into their .dvc files (`stages`).

    `dvc repro` does the same. The old version stays in the cache, and the file is written when the cache has the new
    one. Raises `MachineError` where the cache does not take it.
    """
    for stage in stages:
        outs = edited(stage)
        if not outs:
            continue
        stage.save_outs()
        stage.md5 = stage.compute_md5()
        names = ", ".join(map(str, outs))
        store(outs, names, f"temper data add {names}")
        with written(Path(stage.path)) as aside:
            dump_yaml(aside, to_single_stage_file(stage))
        have = "has" if len(outs) == 1 else "have"
        tell(f"{names} {have} changed since it was added: stored anew, {stage.relpath} updated; commit it with {LOCK}.")


def track(paths: list[Path]) -> list[Path]:
    """Track files or folders by DVC; return what git must record: their .dvc files and .gitignore files."""
    with opened() as repo:
        with locked(repo):
            for path in filter(Path.exists, paths):
                stored(repo, path)  # puts aside what is damaged
        try:
            stages = repo.add([str(path) for path in paths])
        except DvcException as error:
            raise InputError(f"DVC rejects it: {' '.join(str(error).split())}") from error
        with locked(repo):
            separate_inputs(repo)
        files = [Path(stage.path).relative_to(Path.cwd()) for stage in stages]
        return files + [path for file in files if (path := file.with_name(".gitignore")).exists()]
