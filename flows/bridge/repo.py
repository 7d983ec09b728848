"""The checkout in the current folder as DVC opens and locks it, and its cache."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import networkx as nx
import psutil
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.parsing import ResolveError
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError, _edit_rwlock, rwlock
from dvc.scm import SCMError
from dvc.stage import PipelineStage
from dvc.utils.serialize import ParseError

from flows.bridge.lockfile import LOCK, mend, sort
from tasks.core.errors import Busy, MachineError, SettingsError

logging.getLogger("dvc").setLevel(logging.WARNING)

_here = threading.RLock()
"""DVC's locks do not exclude threads of one process (same pid, same command): this one does."""


@contextmanager
def opened() -> Iterator[Repo]:
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


@contextmanager
def locked(repo: Repo) -> Iterator[None]:
    with _here, repo.lock:
        yield


def claimed(repo: Repo, read: list[str], write: list[str] | None = None) -> AbstractContextManager[None]:
    """DVC's per-path locks, held under the name its own methods use so that they nest: `dvc repro` stays out."""
    return rwlock(repo.tmp_dir, repo.fs, " ".join(sys.argv), read, write or [], False)  # type: ignore[no-any-return]


def forget_dead_claims(repo: Repo) -> None:
    """Drop the claims of dead processes, also where another process has their number now.

    DVC tells by the number alone, and would refuse to work as long as that other process lives. The file was last
    written when all that it names lived, so who was born later is somebody else.
    """
    path = Path(repo.tmp_dir or "") / "rwlock"
    if not path.is_file():
        return
    written = path.stat().st_mtime + 2.0  # when a process was born is known to a second or so

    def alive(claim: dict[str, Any]) -> bool:
        try:
            return bool(psutil.Process(int(claim["pid"])).create_time() <= written)
        except psutil.NoSuchProcess:
            return False

    try:
        with _edit_rwlock(repo.tmp_dir, repo.fs, False) as claims:
            readers = {where: list(filter(alive, those)) for where, those in claims["read"].items()}
            claims["read"] = {where: those for where, those in readers.items() if those}
            claims["write"] = {where: claim for where, claim in claims["write"].items() if alive(claim)}
    except (RWLockFileCorruptedError, RWLockFileFormatError):  # who wrote it was killed meanwhile
        path.unlink(missing_ok=True)


def graph(repo: Repo, tell: Callable[[str], None] = lambda line: None) -> Any:
    try:
        return repo.index.graph
    except DvcException:
        if not (mended := mend(Path(repo.root_dir) / LOCK)):
            raise
        tell(mended)
        repo._reset()
        return repo.index.graph


def ordered(graph: Any) -> list[PipelineStage]:
    """The stages, each after those that it needs."""
    return [stage for stage in nx.dfs_postorder_nodes(graph) if isinstance(stage, PipelineStage)]


def sort_lockfile() -> None:
    """Put the entries of dvc.lock in the order in which `dvc repro` writes them, not the one in which stages ended.

    So that equal runs give equal bytes, and merging two branches gives no conflict that is none.
    """
    with opened() as repo, locked(repo):
        order = {stage.name: position for position, stage in enumerate(ordered(graph(repo)))}
        sort(Path(repo.root_dir) / LOCK, order)


def link_outputs(repo: Repo) -> None:
    """Let `repo` link outputs to its cache where the disk cannot share blocks; what is linked is read-only.

    Not for what people edit: a change in place would go through the link into the cache, under the old hash. So the
    configuration has no hard links, and only what stages write gets them. `cache.type: copy` alone stays as it is.
    """
    kinds: list[str] = repo.cache.local.cache_types
    if kinds != ["copy"] and "hardlink" not in kinds:
        repo.cache.local.cache_types = [*(kind for kind in kinds if kind != "copy"), "hardlink", "copy"]


def cache() -> Path:
    """The folder of DVC's cache."""
    with opened() as repo:
        return Path(repo.cache.local.path)


def cached_path(md5: str) -> Path:
    """Where DVC's cache keeps what has this hash, be it there or not."""
    return cache() / md5[:2] / md5[2:]


def cached_files(md5: str) -> dict[str, Path]:
    """Relative path -> where the cache keeps it, of each file of the folder with this hash; the cache must have it."""
    return {entry["relpath"]: cached_path(entry["md5"]) for entry in json.loads(cached_path(md5).read_text())}


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith(".") else f"{text}."
