"""dvc.lock as a file: DVC writes it in place, so a kill in that moment leaves half of it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tasks.core.files import written


def mend(path: Path, readable: Callable[[bytes], bool]) -> str:
    """Replace an unreadable dvc.lock by the one in git's HEAD, or remove it; return what was done, "" for nothing.

    Nothing is lost either way: every finished stage is in DVC's run cache, which restores it.
    """
    if not path.exists() or readable(path.read_bytes()):
        return ""
    kept = subprocess.run(["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, check=False)
    if kept.returncode == 0 and readable(kept.stdout):
        with written(path) as aside:
            aside.write_bytes(kept.stdout)
        return f"{path.name} was cut off (a run was killed while DVC wrote it): taken from git; stages are restored."
    path.unlink()
    return f"{path.name} was cut off (a run was killed while DVC wrote it): removed; finished stages are restored."
