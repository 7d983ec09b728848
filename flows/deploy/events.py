"""`temper data add FILE...`: track data with DVC, record that in git, and tell the server, which may start a run."""

from pathlib import Path

from flows.bridge import track
from flows.server.prefect_private import emit
from flows.system.git import git
from tasks.core.errors import InputError
from tasks.core.paths import PATHS

EVENT = "temper.data.changed"


def add(paths: list[Path]) -> str:
    """Track `paths` and commit what git must know of them, and nothing else; return the commit, "" for no change."""
    here = Path.cwd()
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder.")
        if not path.resolve().is_relative_to(here):
            raise InputError(f"{path} lies outside the project; copy it into {PATHS.data}/, then add it.")
        if git("ls-files", "--", str(path)):
            raise InputError(f"{path} is tracked by git; run: git rm -r --cached {path}, commit, then add it.")
    records = [str(path) for path in track(paths)]
    git("add", "--", *records)
    if not git("status", "--porcelain", "--", *records):
        return ""
    git("commit", "--quiet", "--message", f"data: {', '.join(map(str, paths))}", "--only", "--", *records)
    return git("rev-parse", "HEAD")


def tell(paths: list[Path], revision: str) -> None:
    """Emit the event `temper.data.changed` to the server; returns when it has it."""
    emit(
        EVENT,
        resource={"prefect.resource.id": f"temper.data.{paths[0]}", "prefect.resource.name": str(paths[0])},
        payload={"revision": revision, "paths": [str(path) for path in paths]},
    )
