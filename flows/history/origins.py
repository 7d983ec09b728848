"""What went into a run of the past: whether git or DVC still has it as the run's dvc.lock names it.

A run stores what it reads. This finds the commits in which that failed: made by an older version, by `dvc repro
--no-commit`, or with a .dvc file that was not committed together with dvc.lock.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path, PurePath

from flows.bridge import LOCK, StageRecord, held, overlap, parse
from flows.history.committed import file_at, files_at
from flows.plan import machine
from flows.system.git import git
from tasks.core.paths import TRACKED
from tasks.core.yaml_files import parse as parse_yaml


@dataclass(frozen=True)
class Mismatch:
    """An input of which a commit's dvc.lock says something else than what tracks it there."""

    path: str
    recorded: str
    """Its hash in dvc.lock."""
    file: str
    """The .dvc file that tracks it; "" where neither git nor DVC does."""
    tracked: str
    """The hash that the .dvc file has instead."""
    lost: bool
    """Whether neither DVC's cache nor an earlier version of the .dvc file knows what dvc.lock names."""

    def sentence(self, revision: str) -> str:
        """What is wrong, for people who call the commit `revision`."""
        if not self.file:
            return (
                f"{self.path} is in neither git nor DVC at {revision}, so nobody else can rebuild this model; run: "
                f"temper data add {self.path}, then temper run, and commit."
            )
        what = f"{LOCK} of {revision} names {self.path} as {self.recorded[:8]}, but {self.file} as {self.tracked[:8]}"
        if self.lost:
            return (
                f"{what}: it was edited after `temper data add`, and neither git nor DVC's cache has what was read. "
                f"Nobody can rebuild this model. Run again, which stores the input, then commit {LOCK} and {self.file} "
                "together."
            )
        return f"{what}: the input was changed after the run. Run again, then commit {LOCK} and {self.file} together."


def mismatches(revision: str) -> list[Mismatch]:
    """The inputs at `revision` that a checkout of it would not have as its dvc.lock names them.

    Only what no stage makes and git does not have is looked at: code and seeds are as the commit has them. A folder
    that holds tracked files among others has no hash to compare with, and is left out.
    """
    names = git("ls-tree", "-r", "-z", "--name-only", revision).split("\0")
    tracked = _tracked(revision, [name for name in names if PurePath(name).match(TRACKED)])
    places = {*names, *tracked}
    within = {str(folder) for name in places for folder in PurePath(name).parents}

    def had(path: str, md5: str) -> bool:
        if path in tracked:
            return tracked[path][1] == md5
        return path in within or not places.isdisjoint(map(str, (PurePath(path), *PurePath(path).parents)))

    read = inputs(parse(file_at(revision, str(LOCK))))
    different = {path: md5 for path, md5 in read.items() if md5 and not had(path, md5)}
    kept = held(different.values())
    return [
        Mismatch(path, md5, *tracked.get(path, ("", "")), lost=md5 not in kept and not _named_before(revision, md5))
        for path, md5 in different.items()
    ]


def inputs(lock: Mapping[str, StageRecord]) -> dict[str, str]:
    """Hash by path of what the stages of a dvc.lock read and none of them makes, in its order."""
    outs = [Path(out) for stage in lock.values() for out in stage.outs]
    deps = {path: dep.md5 for stage in lock.values() for path, dep in stage.deps.items()}
    return {path: md5 for path, md5 in deps.items() if not any(overlap(Path(path), out) for out in outs)}


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(path, what became of it) for each path whose hash differs."""
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            yield path, "changed" if path in old and path in new else "new" if path in new else "gone"


def is_code(path: str) -> bool:
    """Whether an input came with temper: what stages import, and the versions of libraries."""
    return path.startswith("tasks/") or path == str(machine.LOCK)


def _tracked(revision: str, files: list[str]) -> dict[str, tuple[str, str]]:
    """By path, the .dvc file that tracks it and the hash there; what cannot be read is left out."""
    tracked: dict[str, tuple[str, str]] = {}
    for file, text in zip(files, next(files_at([revision], files), []), strict=False):
        with suppress(ValueError, AttributeError, KeyError, TypeError):
            document = parse_yaml(str(text), "safe")
            folder = PurePath(file).parent / document.get("wdir", ".")
            for out in document["outs"]:
                tracked[normpath(folder / out["path"])] = (file, str(out.get("md5", "")))
    return tracked


def _named_before(revision: str, md5: str) -> bool:
    """Whether some commit up to `revision` has a .dvc file with this hash, whose bytes DVC can then fetch."""
    return bool(git("log", "-1", "--format=%H", f"-S{md5}", revision, "--", TRACKED))
