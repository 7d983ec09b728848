"""Temporary files of a process and all that it starts, in one place of the project: `.dvc/tmp/own/IDENTITY`.

The folder goes with its process. What a kill left is removed by the next process that makes one, which tells from the
name whether the owner lives. Where the project can only be read, the folder is in the system's place for such files.
Libraries follow, since they ask `TMPDIR`, as Python's `tempfile` does.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.core.errors import MachineError
from tasks.core.identity import Identity, current
from tasks.core.paths import Paths

LONGEST = 70
"""Characters of a folder in which sockets can be made: the kernel takes 107, multiprocessing adds up to 37."""

NAME = "temper-"
"""Before the identity, where others have folders, too."""

SHORT = f"/tmp/{NAME}"
"""Before the identity: a link to a folder whose own name is longer than `LONGEST`."""

SHARED = "pymp-"
"""How folders of multiprocessing begin."""

LAST = -200
"""When the folder goes at the end of a process; multiprocessing removes its own at -100, before."""

KEPT = 14 * 24 * 3600.0
"""Seconds that what a process left is kept where nobody came back for it, or can tell here whether it lives."""


@contextmanager
def temporary_files(paths: Paths, *, reads: bool = False) -> Iterator[None]:
    """Within the block this process and its children keep temporary files in the project, if it has a place for them.

    What dead processes left there is removed. In a process whose parent does the same for both, nothing happens.
    `reads`: a project that cannot be written is only read, and the files lie elsewhere; else it raises `MachineError`.

    Example:

        with temporary_files(PATHS):
            tempfile.gettempdir()  # .dvc/tmp/own/IDENTITY of this process
    """
    owner, before = current(), (os.environ.get("TMPDIR"), tempfile.tempdir)
    if not paths.state.parent.is_dir() or _owner(before[0] or "") == owner:
        yield
        return
    folder = _own(paths, owner) if writable(paths) else _elsewhere(paths, owner, reads)
    os.environ["TMPDIR"] = tempfile.tempdir = _short(folder) if len(str(folder)) > LONGEST else str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before[1]
        os.environ.pop("TMPDIR")
        if before[0] is not None:
            os.environ["TMPDIR"] = before[0]
        if os.getpid() == owner.pid:  # else a fork of it, which ends earlier
            _remove_in_time(folder)


def inherited() -> bool:
    """Whether the process that started this one keeps temporary files for both."""
    owner = _owner(os.environ.get("TMPDIR", ""))
    return owner is not None and not owner.dead()


def writable(paths: Paths) -> bool:
    """Whether this user can write where temper keeps its state of the project, which git and DVC leave alone."""
    places = (paths.temporary, paths.state, paths.state.parent)
    return os.access(next(filter(Path.is_dir, places), paths.root), os.W_OK | os.X_OK)


def remove_dead(paths: Paths) -> None:
    """Remove the folders whose processes have ended."""
    _remove_dead(paths.temporary.glob("*"))


def _own(paths: Paths, owner: Identity) -> Path:
    remove_dead(paths)
    folder = (paths.temporary / str(owner)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _elsewhere(paths: Paths, owner: Identity, reads: bool) -> Path:
    root = paths.root.absolute()
    if not reads:
        protected = os.statvfs(paths.state.parent).f_flag & os.ST_RDONLY
        why = "the file system is read-only" if protected else "permission denied"
        raise MachineError(
            f"{root}: you cannot write here ({why}); compare, history, plan, chat and serve work even so, and the rest "
            f"works in a copy of your own: git clone {root}"
        )
    place = Path(tempfile.gettempdir())
    ours = [
        folder for folder in place.glob(f"{NAME}*") if not folder.is_symlink() and folder.stat().st_uid == os.getuid()
    ]
    _remove_dead(ours)
    folder = place / f"{NAME}{owner}"
    folder.mkdir(mode=0o700)
    return folder


def _remove_dead(folders: Iterable[Path]) -> None:
    for folder in folders:
        owner = _owner(str(folder))
        with suppress(FileNotFoundError):  # another process removes it, too
            if owner and (owner.dead() or time.time() - folder.stat().st_mtime > KEPT):
                _remove(folder)


def _owner(folder: str) -> Identity | None:
    return Identity.parse(Path(folder).name.removeprefix(NAME))


def _short(folder: Path) -> str:
    """A link to `folder`; its own name where nobody can link it, or the link is somebody else's."""
    link = _link(folder)
    with suppress(OSError):
        if not link.is_symlink():
            link.symlink_to(folder)
        if link.readlink() == folder and link.lstat().st_uid == os.getuid():
            return str(link)
    return str(folder)


def _link(folder: Path) -> Path:
    return Path(f"{SHORT}{folder.name.removeprefix(NAME)}")


def _remove_in_time(folder: Path) -> None:
    """Remove `folder`; where multiprocessing has one of its own in it, which it removes at the end, after that."""
    if any(folder.glob(f"{SHARED}*")):
        from multiprocessing.util import Finalize  # a process without such a folder need not load it

        Finalize(None, _remove, args=(folder,), exitpriority=LAST)
    else:
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        _link(folder).unlink(missing_ok=True)
