"""A project of one's own: a clone of the release, its params.yaml at the defaults for a task, its data out of git."""

import re
import shutil
import subprocess
from pathlib import Path

from flows.params.comments import editable
from flows.params.defaults import defaults, reset
from flows.params.model import change, explain_keys, model, save
from flows.system.git import git
from tasks.core.errors import InputError, MachineError
from tasks.core.files import write_text
from tasks.core.paths import PATHS, TRACKED, Paths
from tasks.core.settings import read

UPSTREAM = "temper"
"""The name of the git remote that upgrades come from."""

REFUSED = "temper takes no pushes, add a remote of your own"
"""What stands for the address that pushes to `UPSTREAM` go to: git quotes it in its error."""

OWN = "origin"
"""The name of the git remote that a project is pushed to, once its owner adds one."""

DATA = PATHS.own
"""Where the rows of a project lie: tracked by DVC as one folder, left alone by git."""

TASKS = Path("recipes/tasks")

MODELS = "models"
"""The folder of a project for models that are its base: tracked by DVC one by one, left alone by git."""


def release() -> Path:
    """The checkout that this temper runs from. Raises `MachineError` where it was installed without one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists() or not Paths(root).pipeline.is_file():
        raise MachineError(
            "`temper new` copies a git clone of temper, and this installation has none; name one with --source."
        )
    return root


def tasks(source: Path) -> list[str]:
    """The tasks that there are settings for."""
    return sorted(path.stem for path in (source / TASKS).glob("*.yaml"))


def make(folder: Path, task: str | None, source: Path) -> None:
    """Make a project in `folder`, which appears when it is whole; it is a commit of its own.

    Raises `InputError` for a folder that is there already, or a task without settings.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: already exists and is not empty; name a new folder.")
    if task and task not in tasks(source):
        raise InputError(f"--task {task}: no such task; choose one of {', '.join(tasks(source))}.")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"{folder.parent}: no such folder; create it first.")
    aside = folder.absolute().with_name(f".{folder.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        git("clone", "--quiet", "--origin", UPSTREAM, str(source), str(aside))
        _refuse_pushes(aside)
        _settle(aside, folder.name, task, source)
        if folder.exists():
            folder.rmdir()
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _refuse_pushes(project: Path) -> None:
    """Have no push, however it is typed, reach the repository that upgrades come from."""
    if git("branch", "--show-current", folder=project):  # none where the source stands at a commit
        git("branch", "--unset-upstream", folder=project)
    git("remote", "set-url", "--push", UPSTREAM, REFUSED, folder=project)
    git("config", "remote.pushDefault", OWN, folder=project)


def _settle(project: Path, name: str, task: str | None, source: Path) -> None:
    """Point upgrades to where the release comes from, and put the settings to the task."""
    origin = subprocess.run(
        ["git", "remote", "get-url", "origin"], cwd=source, capture_output=True, text=True, check=False
    )
    if not origin.returncode:
        git("remote", "set-url", UPSTREAM, origin.stdout.strip(), folder=project)
    params = Paths(project).params
    document = editable(params)
    reset(document, defaults(model()))
    save(document, read(params), params)
    if task:
        change([], project / TASKS / f"{task}.yaml", path=params)
    change([f"report.title={name}"], path=params)
    explain_keys(params)
    (project / DATA).mkdir(parents=True)
    (project / MODELS).mkdir()
    _keep_out_of_git(project)
    git("add", "--all", folder=project)
    git(
        "commit",
        "--quiet",
        "--message",
        f"A project{f' for the task {task}' if task else ''}",
        folder=project,
    )


def _keep_out_of_git(project: Path) -> None:
    """Have git leave alone rows and models of the user; `git add --all` takes settings, code and measurements."""
    ignored = Paths(project).data / ".gitignore"
    text = ignored.read_text()
    tracked = git("ls-files", Paths().data.name, folder=project).splitlines()
    known = {Path(file).parts[1] for file in tracked if len(Path(file).parts) > 2}
    known |= set(re.findall(r"^!/(\w+)/", text, re.MULTILINE))
    reason = f"# Your rows, wherever they lie here: DVC keeps them (temper data add {DATA})."
    kept = ["!/.gitignore", f"!/{TRACKED}", *(f"!/{name}/" for name in sorted(known))]
    write_text(ignored, text + "".join(f"{line}\n" for line in [reason, f"/{DATA.name}", "/*", *kept]))
    reason = f"# Models that you put here for base.folder: DVC keeps them (temper data add {MODELS}/NAME)."
    lines = [reason, "/*", "!/.gitignore", f"!/{TRACKED}"]  # in a file here: DVC reads /models/* as the folder itself
    write_text(project / MODELS / ".gitignore", "".join(f"{line}\n" for line in lines))


def setup(project: Path) -> bool:
    """Install the locked versions into the project, from the cache that all projects share; False where that fails."""
    return subprocess.run(["make", "--quiet", "setup"], cwd=project, check=False).returncode == 0
