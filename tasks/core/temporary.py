"""Temporary files of a process and all that it starts, in one place of the project: `.dvc/tmp/own/IDENTITY`.

The folder goes with its process. What a kill left is removed by the next process that makes one, which tells from the
name whether the owner lives. Libraries follow, since they ask `TMPDIR`, as Python's `tempfile` does.
"""

import atexit
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tasks.core.identity import Identity, current
from tasks.core.paths import Paths

LONGEST = 70
"""Characters of a folder in which sockets can be made: the kernel takes 107, multiprocessing adds up to 37."""

KEPT = 14 * 24 * 3600.0
"""Seconds after which the folder of a process goes of which nobody here can tell whether it lives."""

SYSTEM = Path(tempfile.gettempdir())
"""Where temporary files would be otherwise."""


def keep_here(paths: Paths) -> None:
    """From now on this process and its children keep temporary files in the project, where it has a place for them.

    What dead processes left there is removed.

    Example:

        keep_here(Paths(home()))
        tempfile.gettempdir()  # .dvc/tmp/own/IDENTITY of that folder
    """
    if not paths.state.parent.is_dir():
        return
    remove_dead(paths)
    owner = current()
    folder = (paths.temporary / str(owner)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    use = folder
    if len(str(folder)) > LONGEST:
        use = _link(folder.name)
        with suppress(FileExistsError):
            use.symlink_to(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(use)
    atexit.register(_remove_own, folder, owner)


def inherited() -> bool:
    """Whether the process that started this one keeps temporary files for both."""
    owner = Identity.parse(Path(os.environ.get("TMPDIR", "")).name.removeprefix(PREFIX))
    return owner is not None and not owner.dead()


def remove_dead(paths: Paths) -> None:
    """Remove the folders whose processes have ended."""
    for folder in paths.temporary.glob("*"):
        owner = Identity.parse(folder.name)
        with suppress(FileNotFoundError):  # another process removes it, too
            if owner and (owner.dead() or time.time() - folder.stat().st_mtime > KEPT):
                _remove(folder)


PREFIX = "temper-"


def _link(name: str) -> Path:
    return SYSTEM / f"{PREFIX}{name}"


def _remove_own(folder: Path, owner: Identity) -> None:
    if os.getpid() == owner.pid:  # else a fork of it, which ends earlier
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _link(folder.name).unlink(missing_ok=True)
