"""The checkout in the current folder as DVC opens and locks it, and its cache."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import networkx as nx
import psutil
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError, _edit_rwlock, rwlock
from dvc.scm import SCMError
from dvc.stage import PipelineStage

from flows.bridge.lockfile import LOCK, cut_off, mend, sort
from flows.bridge.refusals import one_line, refusal, unread
from flows.bridge.storage.objects import damages, looking_at, read_first
from flows.bridge.storage.read_only import ReadOnlyRepo
from flows.bridge.storage.site_cache import keep_private
from tasks.core.errors import Busy, MachineError
from tasks.core.paths import Paths
from tasks.core.temporary import writable

logging.getLogger("dvc").setLevel(logging.WARNING)

_here = threading.RLock()
"""DVC's locks do not exclude threads of one process (same pid, same command): this one does."""


@contextmanager
def opened() -> Iterator[Repo]:
    """The checkout in the current folder; what DVC raises comes out as one sentence."""
    try:
        root, kind = Path(Repo.find_root()), Repo
        if writable(Paths(root)):
            keep_private(root)
        else:
            kind = ReadOnlyRepo
        with kind(_wait_for_lock=True) as repo:  # the default gives up after 3 s, also after hours of training
            read_first(repo)
            yield repo
    except NotDvcRepoError:
        raise MachineError("DVC is not set up here; run: dvc init") from None
    except SCMError:
        raise MachineError("this folder is no git repository; run: git init && dvc init") from None
    except LockError as error:
        raise Busy(f"another DVC command is running here: {one_line(error)}") from None
    except DvcException as error:
        raise refusal(error) from error
    except (KeyError, UnicodeDecodeError):
        if fault := unread(Path(Repo.find_root())):
            raise fault from None
        raise


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
    lock = Path(repo.root_dir) / LOCK
    try:
        if not cut_off(lock):
            return repo.index.graph
    except DvcException:
        if not cut_off(lock, read=True):
            raise
    tell(mend(lock))
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


def remotes() -> tuple[str, list[str]]:
    """The name of DVC's default remote, "" for none, and the names of all."""
    with opened() as repo:
        return repo.config["core"].get("remote", ""), sorted(repo.config["remote"])


def in_cache(md5: str) -> bool:
    """Whether DVC's cache has the object with this hash; of a folder its list of files."""
    with opened() as repo, locked(repo):
        return bool(repo.cache.local.whole(md5))


def cached_file(md5: str, name: str, owner: str) -> Path | None:
    """Where DVC's cache keeps the file `name` of the folder with this hash; None where it lacks list or file.

    Both are read. Raises `MachineError`, which names the folder `owner`, where one is damaged.
    """
    with opened() as repo, locked(repo), looking_at(repo, owner):
        path = _in_cache(repo, md5, name)
        if lines := damages(repo):
            raise MachineError(" ".join(lines))
        return path


def cached_files(folders: Iterable[str], name: str, tell: Callable[[str], None]) -> dict[str, Path]:
    """Where DVC's cache keeps the file `name` of folders, by their hashes; those that it lacks are left out.

    What is damaged is put aside, and said to `tell`.
    """
    with opened() as repo, locked(repo), looking_at(repo, name):
        paths = {md5: _in_cache(repo, md5, name) for md5 in folders}
        for line in damages(repo):
            tell(line)
    return {md5: path for md5, path in paths.items() if path}


def _in_cache(repo: Repo, md5: str, name: str) -> Path | None:
    objects = repo.cache.local
    if not objects.whole(md5):
        return None
    entries = json.loads(Path(objects.oid_to_path(md5)).read_text())
    oid = next((entry["md5"] for entry in entries if entry["relpath"] == name), None)
    return Path(objects.oid_to_path(oid)) if oid and objects.whole(oid) else None
