"""Which file of a changed folder changed, for the reasons of a stage: `file tasks/training/trainer.py changed`."""

import subprocess
from pathlib import Path

from flows.bridge.lockfile import LOCK


def edited(path: Path) -> list[str]:
    """Files at or below `path` that differ from the commit that dvc.lock was last recorded in: the likely cause.

    DVC records one hash for a folder, so git is asked which file it was, and of those it names, the ones written since
    dvc.lock. Empty where git knows of no difference.
    """
    recorded = _git("log", "-1", "--format=%H", "--", str(LOCK)) or ["HEAD"]
    names = _git("diff", "--name-only", "--relative", recorded[0], "--", str(path))
    names += _git("ls-files", "--others", "--exclude-standard", "--", str(path))
    written = LOCK.stat().st_mtime if LOCK.exists() else 0.0
    recent = [name for name in names if not Path(name).exists() or Path(name).stat().st_mtime >= written]
    return recent or names


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.splitlines()
