"""A checkout of its own: the files of this repository as they lie here, in a temporary folder, with fresh DVC state."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.bridge import survey
from flows.params.model import change
from flows.server.connect import QUIET

HERE = Path(__file__).resolve().parent.parent

SMALL = HERE / "tests/small.yaml"
"""An overlay on params.yaml that makes every stage quick; its scores mean nothing."""

NOT_PASSED_ON = ("PREFECT_", "MAKE", "MFLAGS")
"""Variables that a fresh shell does not have: settings of Prefect, and those of a `make` that started all this."""


class Failed(RuntimeError):
    """A command of a benchmark failed; carries what it said last."""


class Checkout:
    """A repository at `root`, and the commands that are run in it."""

    def __init__(self, root: Path, server: str | None = None) -> None:
        """`server` is the address of the Prefect API that flows report to."""
        self.root = root
        bin_folder = Path(sys.executable).parent
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)},
            **QUIET,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_HOME": str(root.parent / f"{root.name}.prefect"),
        }
        if server:
            self.environment["PREFECT_API_URL"] = server

    def run(self, *command: str, **environment: str) -> str:
        """Run a command; return what it wrote to standard error."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            raise Failed(f"`{' '.join(command)}` ended with {done.returncode}:\n{last}")
        return done.stderr

    def python(self, *arguments: str, **environment: str) -> float:
        """Run Python in this checkout, where its own packages come first; return seconds."""
        return self.seconds("python", *arguments, **environment)

    def temper(self, *arguments: str) -> float:
        """Run `temper` as it is in this checkout; return seconds."""
        return self.python("-m", "flows.cli.main", *arguments)

    def seconds(self, *command: str, **environment: str) -> float:
        """Run a command; return seconds."""
        start = time.perf_counter()
        self.run(*command, **environment)
        return time.perf_counter() - start


@contextmanager
def checkout(*, full: bool, server: str | None = None) -> Iterator[Checkout]:
    """A fresh checkout; with the small configuration unless `full`. It is gone afterwards."""
    with TemporaryDirectory(prefix="temper-") as folder:
        root = Path(folder) / "checkout"
        place = Checkout(root, server)
        _copy(root)
        if not full:
            change([], SMALL, path=root / "params.yaml")
        place.run("git", "init", "--quiet", "--initial-branch=main")
        place.run("git", "add", "--all")
        who = ["-c", "user.name=temper", "-c", "user.email=temper@localhost"]
        place.run("git", *who, "commit", "--quiet", "--message", "as measured")
        yield place


def commands(place: Checkout) -> list[str]:
    """Every stage's command, in run order."""
    with chdir(place.root):
        return [status.command for status in survey()]


def _copy(root: Path) -> None:
    """Tracked files, and new ones that git does not ignore; no outputs, no dvc.lock."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (HERE / name).is_file() and name != "dvc.lock":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HERE / name, root / name)
