"""DVC's cache and its record of hashes, by which nothing counts as whole before somebody has read it.

DVC takes a read-only object for whole, and a file that has its old inode, size and mtime for unchanged; what it checks
out or downloads gets its hash by name, unread. So half an object, or one whose bytes are others, would be restored
without a word, and trusted from then on. Here each object is read before it is restored. A damaged one is put aside,
in the folder `damaged` of the cache, and never deleted (as DVC does with those that it happens to read).
"""

import json
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dvc.output import Output
from dvc.repo import Repo
from dvc_data.fsutils import _localfs_info
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db.local import LocalHashFileDB
from dvc_data.hashfile.hash import hash_file
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.state import State, _checksum
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError
from dvc_objects.fs.local import LocalFileSystem

from tasks.core.errors import MachineError, advice

ASIDE = "damaged"
"""The folder, within the cache, of what was put aside."""


class ReadState(State):  # type: ignore[misc]
    """DVC's record of hashes, of which only those of files that were read count, while a file keeps its ctime.

    A write that keeps the size and sets the mtime back (`cp --preserve`, `rsync --times`, `touch --reference`) looks
    like no change to DVC; the ctime cannot be set back. Where DVC's own commands took the note there is no ctime in
    it, and the file is read once more. DVC reads these notes as its own.
    """

    restoring = False

    def save(self, path: str, fs: Any, hash_info: Any, info: dict[str, Any] | None = None) -> None:
        """Note the hash of a file that was read."""
        self.save_many([(path, hash_info, info or fs.info(path))], fs)

    def save_many(self, items: Iterable[tuple[str, Any, dict[str, Any] | None]], fs: Any) -> None:
        """Note hashes; a file of which no `info` comes along was stored, not read."""
        if not isinstance(fs, LocalFileSystem):
            return
        entries = []
        for path, hash_info, looked_at in items:
            with suppress(FileNotFoundError):
                info = looked_at or fs.info(path)
                entry = {"version": self.HASH_VERSION, "checksum": _checksum(info), "size": info["size"]}
                entry["hash_info"] = hash_info.to_dict()
                copied = self.restoring and not info["islink"] and info["nlink"] == 1
                if looked_at and not copied:
                    entry["ctime"] = info["created"]
                entries.append((path, json.dumps(entry)))
        self.hashes.set_many(entries)

    def _get(self, path: str, raw: str, info: dict[str, Any]) -> Any:
        with suppress(ValueError):
            if json.loads(raw).get("ctime") == info["created"]:
                return super()._get(path, raw, info)
        return None

    @contextmanager
    def checking_out(self) -> Iterator[None]:
        """Within the block, what is checked out as a copy counts as unread; a link is the object, which was read."""
        self.restoring = True
        try:
            yield
        finally:
            self.restoring = False


class Objects(LocalHashFileDB):  # type: ignore[misc]
    """DVC's cache; asked for a folder's list, or for an object that can be written to, it reads before it answers."""

    root: Path
    owner: str
    """The output, or stage, that is looked at, for people."""
    damages: list[str]
    """What was put aside, a sentence each, since somebody last took the list."""

    def get(self, oid: str) -> Any:
        """The object of a hash. A list that is damaged is put aside first: DVC would take it as it is, or break."""
        if oid.endswith(".dir"):
            self.whole(oid)
        return super().get(oid)

    def check(self, oid: str, check_hash: bool = True, _info: dict[str, Any] | None = None) -> Any:
        """What DVC asks of each object that it needs: whether it is there, and whole where it can be written to."""
        info = _info or _localfs_info(self.oid_to_path(oid))
        if check_hash and stat.S_IMODE(info["mode"]) != self.CACHE_MODE and not self.whole(oid):
            raise ObjectFormatError(f"{oid} is damaged")
        return Meta.from_info(info)

    def whole(self, oid: str, size: int | None = None) -> bool:
        """Whether an object is there and has the bytes that its name promises; `size` is what is on record, in bytes.

        It is read, unless it was read before and has its ctime since. A damaged one is put aside.
        """
        path = self.oid_to_path(oid)
        try:
            if not self.is_protected(path):
                self.protect(path)  # now: it changes the ctime
            info = _localfs_info(path)
            _, actual = hash_file(path, self.fs, self.hash_name, self.state, info=info)
        except FileNotFoundError:
            return False
        if actual.value == oid.removesuffix(".dir"):
            return True
        what = f"{info['size']:,} of {size:,} bytes" if size not in (None, info["size"]) else "its content has changed"
        self.put_aside(Path(path), what)
        return False

    def put_aside(self, path: Path, what: str) -> None:
        """Move a damaged file of the cache to where nothing looks for it.

        Raises `MachineError` where it cannot be moved.
        """
        try:
            # the inode, for the same may be damaged again
            aside = self.root / ASIDE / f"{path.parent.name}{path.name}.{path.stat().st_ino}"
            aside.parent.mkdir(exist_ok=True)
            path.rename(aside)
        except FileNotFoundError:
            return  # another process was first, and says so
        except OSError as error:
            raise MachineError(
                f"{self.owner}: {path} in DVC's cache is damaged ({what}) and must be moved away: {advice(error)}"
            ) from error
        self.damages.append(f"{self.owner}: {path} in DVC's cache is damaged ({what}); it was moved to {aside}.")


def read_first(repo: Repo) -> None:
    """Have `repo` trust nothing unread. DVC has no place in which to name classes of one's own for this."""
    repo.state.__class__ = ReadState
    for cache in (repo.cache.local, repo.cache.legacy):
        cache.__class__ = Objects
        cache.root, cache.owner, cache.damages = Path(repo.cache.legacy.path), "", []


@contextmanager
def looking_at(repo: Repo, owner: object) -> Iterator[None]:
    """What is found to be damaged within the block is of `owner`."""
    caches = (repo.cache.local, repo.cache.legacy)
    before = repo.cache.local.owner
    for cache in caches:
        cache.owner = str(owner)
    try:
        yield
    finally:
        for cache in caches:
            cache.owner = before


def intact(out: Output) -> bool:
    """Whether the cache has all of an output; each of its objects is read, and what is damaged is put aside."""
    with looking_at(out.repo, out):
        if not out.hash_info or (obj := out.get_obj()) is None:
            return False
        size = None if isinstance(obj, Tree) else out.meta.size
        wholes = [out.cache.whole(oid, size) for oid in _oids(obj)]  # all of them, so that all damage is said at once
        return all(wholes)


def stored(repo: Repo, path: Path) -> bool:
    """Whether the cache has the file or folder `path` as it lies there.

    Each of its objects is read. What is damaged is put aside, which makes room: DVC would take it for stored.
    """
    with looking_at(repo, path):
        cache = repo.cache.local
        _, _, obj = build(cache, str(path.absolute()), repo.fs, cache.hash_name, ignore=repo.dvcignore, dry_run=True)
        wholes = [cache.whole(oid) for oid in _oids(obj)]  # all of them, so that all damage is said at once
        return all(wholes)


def complete(out: Output) -> bool:
    """Whether the cache seems to have all of an output: its objects are there, and as long together as it was."""
    with looking_at(out.repo, out):
        if out.changed_cache():
            return False
        oids = [oid for oid in _oids(out.get_obj()) if not oid.endswith(".dir")]
    return out.meta.size in (None, sum(Path(out.cache.oid_to_path(oid)).stat().st_size for oid in oids))


def _oids(obj: Any) -> list[str]:
    """The names of an object and, where it is the list of a folder, of what is in it, each file as often as it is."""
    return [*(entry.value for _, _, entry in obj), obj.oid] if isinstance(obj, Tree) else [obj.oid]


def store(outs: list[Output], owner: str, command: str) -> None:
    """Copy outputs, whose hashes are known, into the cache; they stay what they are, links to nothing.

    Of an object that is there already DVC takes no copy, so what is damaged has to make room first. Raises
    `MachineError`, which names `owner`, where the cache did not take all; `command` stores them later.
    """
    for out in outs:
        intact(out)
        out.commit(relink=False)
    if lost := [str(out) for out in outs if out.use_cache and out.changed_cache()]:
        raise MachineError(
            f"{owner}: DVC could not store {', '.join(lost)} in its cache ({outs[0].repo.cache.local.path}); usually "
            f"the disk is full. Free some space, then store it with: {command}; or run again."
        )


def damages(repo: Repo) -> list[str]:
    """Take what was put aside since the last call, a sentence each."""
    lines: list[str] = []
    for cache in (repo.cache.local, repo.cache.legacy):
        lines += cache.damages
        cache.damages = []
    return lines
