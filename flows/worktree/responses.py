"""Records of what teachers and judges answered, from run to run: nothing is paid for twice.

A run in a worktree of its own has the record of its revision (flows/bridge/inputs.py). What runs since then have paid
for is in none of its ancestors: it stands in their experiments, or in nothing, where they failed later. So each
worktree leaves its records here, and gets those of the others in data/scratch/records, where the stages look up what
their own record does not have.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from flows.system.file_lock import file_lock
from tasks.core.files import sha256, written
from tasks.core.paths import Paths
from tasks.teacher.response_store import EMPTY

KEPT = 90 * 24 * 3600.0
"""Seconds that a record is kept after the last run that ended with it."""


def keep(project: Path, main: Path) -> None:
    """Keep the records of `project`, a folder whose worktree goes, in the checkout `main`."""
    paths = Paths(project)
    shutil.rmtree(paths.records, ignore_errors=True)
    for file in paths.kept():
        if file.stat().st_size <= len(EMPTY):
            continue
        copy = Paths(main).responses_of_runs / f"{sha256(file)}.jsonl"
        with file_lock(copy.with_suffix(".lock"), lambda: None):
            if copy.exists():
                os.utime(copy)
            else:
                with written(copy) as aside:
                    shutil.copyfile(file, aside)


def link(main: Path) -> None:
    """Lay all records of `main` beside the current folder's own, without a copy; remove those that nobody ends with."""
    there = Paths().records
    for file in Paths(main).responses_of_runs.glob("*.jsonl"):
        with suppress(FileNotFoundError):  # another run removed it
            if time.time() - file.stat().st_mtime > KEPT:
                file.unlink()
                continue
            there.mkdir(parents=True, exist_ok=True)
            (there / file.name).symlink_to(file.resolve())
