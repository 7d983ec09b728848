"""The `git` command: what it says, or one sentence where it fails."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.core.errors import MachineError

SOMEBODY = {f"GIT_{who}_{what}": "temper@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
"""Who commits where git knows nobody, as on a worker that only runs flows."""


def git(*arguments: str, folder: Path | None = None, text: str | None = None, index: Path | None = None) -> str:
    """Run git in `folder` (default: here) with `text` on its input; return what it printed, stripped.

    `index` is a file that takes the place of the checkout's own index.

    Raises `MachineError` with git's own words.

    Example:

        git("rev-parse", "HEAD")  # the full hash of the commit
    """
    environment = _environment() | ({"GIT_INDEX_FILE": str(index)} if index else {})
    done = subprocess.run(
        ["git", *arguments], cwd=folder, input=text, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        message = " ".join((done.stderr or done.stdout).split())
        raise MachineError(f"git {' '.join(arguments[:2])} failed: {message}")
    return done.stdout.strip()


def blobs(names: Sequence[str], largest: int) -> Iterator[bytes | int | None]:
    """What `names` (such as HEAD:./a.txt) hold, in turn; None for no such file, its bytes as a number beyond `largest`.

    Two processes of git read all of them; memory holds one at a time.
    """
    if not names:
        return
    checked = git("cat-file", "--batch-check=%(objecttype) %(objectname) %(objectsize)", text="\n".join(names))
    entries = [line.split(" ") for line in checked.split("\n")]
    known = [(entry[1], int(entry[2])) if entry[0] == "blob" else None for entry in entries]
    wanted = [object_name for object_name, size in filter(None, known) if size <= largest]
    command = ["git", "cat-file", "--batch"]
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{object_name}\n" for object_name in wanted).encode())
        asked.seek(0)
        with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE) as process:
            stream = process.stdout
            assert stream is not None
            for entry in known:
                if entry is None or entry[1] > largest:
                    yield entry and entry[1]
                    continue
                stream.readline()
                yield stream.read(entry[1] + 1)[:-1]


def commit(revision: str) -> str:
    """The full hash of the commit that `revision` names."""
    try:
        if revision.startswith("-"):  # no revision may; git would take it for an option
            raise MachineError(f"{revision} is an option")
        return git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except MachineError:
        raise MachineError(
            f"git has no revision '{revision}' here; `git log`, `dvc exp list` and `temper history` show what there is."
        ) from None


def checkout() -> Path:
    """The main checkout of this repository, also when asked in one of its worktrees."""
    return Path(git("rev-parse", "--path-format=absolute", "--git-common-dir")).parent


def _environment() -> dict[str, str]:
    known = subprocess.run(["git", "config", "user.email"], capture_output=True, check=False).returncode == 0
    return dict(os.environ) if known else {**SOMEBODY, **os.environ}
