"""A run's own checkout: a git worktree of one revision that shares DVC's cache with the main checkout.

It lies in .dvc/tmp/runs/NAME, locked by the process that works in it; the kernel lets go of the lock if that process
dies, so that the next run sees which worktrees are nobody's and removes them. What was finished in them is in the
cache; checkpoints of what was not (data/scratch) are put by, and the next run goes on from them, as are records of
what was paid for.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.bridge import checkout_inputs, configure_worktree, find, remove_stale_locks
from flows.system.file_lock import file_lock, patience
from flows.system.git import checkout, git
from flows.worktree import responses
from tasks.core.errors import Busy, MachineError
from tasks.core.paths import Paths
from tasks.core.temporary import KEPT

PATIENCE = 10.0
"""Seconds to wait for a run of the same name before this one gives up."""


@contextmanager
def workspace(
    name: str,
    revision: str = "HEAD",
    tell: Callable[[str], None] = lambda line: None,
    *,
    remote: str | None = None,
    keep: bool = False,
    anew: bool = False,
) -> Iterator[str]:
    """Work in a fresh worktree of `revision`; yield its commit. The current folder is the worktree within the block.

    Afterwards the worktree is removed, unless `keep`. Stages find the parts that other runs left, unless `anew`. Inputs
    that the cache lacks come from the DVC remote of the name `remote` (None: the default one); what is not to be had,
    and can be made again, is said through `tell`. Raises `Busy` where a live process has one of this name.

    Example:

        with workspace("brave-otter", "main", print) as commit:
            ...  # the current folder is the worktree of `commit`
    """
    main, here = home(), Path.cwd()
    # for a moment another run may hold our lock, to remove what we left when we died; longer, and it is ourselves
    under_way = Busy(f"the run '{name}' is under way already, in another process; this one stops.")
    worktree = Paths(main).worktrees / name
    with file_lock(worktree.with_name(f"{name}.lock"), patience(PATIENCE, under_way)):
        baseline = find(revision)
        _remove(main, worktree)
        git("worktree", "add", "--quiet", "--detach", str(worktree), baseline)
        try:
            os.chdir(worktree / _prefix())
            configure_worktree(main)
            _adopt_checkpoints(main)
            responses.link(main)
            if not anew:
                _share_parts(main)
            checkout_inputs(tell, remote)
            yield baseline
        finally:
            os.chdir(here)
            if not keep:
                _remove(main, worktree)


def home() -> Path:
    """The project's folder in the main checkout, where runs and the cache are kept."""
    return checkout() / _prefix()


def recover(tell: Callable[[str], None] = lambda line: None) -> list[str]:
    """Remove the worktrees whose process has died; return their names.

    Checkpoints of unfinished stages that are older than `KEPT` go as well: nobody came back for them.
    """
    main, removed = home(), []
    for lock in sorted(Paths(main).worktrees.glob("*.lock")):
        worktree = lock.with_suffix("")
        with file_lock(lock) as mine:
            if mine and worktree.exists():
                _remove(main, worktree)
                removed.append(worktree.name)
                tell(f"removed the worktree of the run {worktree.name}, whose process had died")
    remove_stale_locks()
    for old in Paths(main).unfinished.glob("*"):
        with suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > KEPT:
                shutil.rmtree(old)
    return removed


def label(name: str) -> str:
    """`name` as it can stand in a path, and in the name of a git ref."""
    return re.sub(r"\.(?=\.|lock$|$)", "-", re.sub(r"[^A-Za-z0-9._-]+", "-", name)).strip("-.") or "run"


def _remove(main: Path, worktree: Path) -> None:
    """Remove a worktree, also one that was half made, after putting its records and checkpoints by."""
    if not worktree.exists():
        return
    responses.keep(worktree / _prefix(), main)
    _move(Paths(worktree / _prefix()).checkpoints, Paths(main).unfinished)
    with suppress(MachineError):
        git("worktree", "remove", "--force", "--force", str(worktree), folder=main)  # twice: also where git was killed
    if worktree.exists():
        _writable(worktree)
        shutil.rmtree(worktree)
        shutil.rmtree(checkout() / ".git/worktrees" / worktree.name, ignore_errors=True)
        git("worktree", "prune", folder=main)


def _adopt_checkpoints(main: Path) -> None:
    """Move checkpoints that another run left into this worktree. The first that comes gets them."""
    _move(Paths(main).unfinished, Paths(Path.cwd()).checkpoints)


def _share_parts(main: Path) -> None:
    """Let stages in this worktree find what runs before made of the same pieces, and keep theirs for runs after."""
    there, here = Paths(main).parts, Paths(Path.cwd()).parts
    there.mkdir(parents=True, exist_ok=True)
    here.parent.mkdir(parents=True, exist_ok=True)
    here.symlink_to(there.absolute())


def _move(source: Path, target: Path) -> None:
    for entry in source.glob("*"):
        target.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another run was first
            if (target / entry.name).exists():
                shutil.rmtree(target / entry.name)
            entry.rename(target / entry.name)


def _prefix() -> str:
    """The project's folder within its repository; "" where it is the repository."""
    return git("rev-parse", "--show-prefix")


def _writable(worktree: Path) -> None:
    """Allow the removal of folders that a stage made read-only."""
    for folder, _, _ in os.walk(worktree):
        Path(folder).chmod(0o755)
