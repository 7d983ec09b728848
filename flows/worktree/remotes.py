"""What workers on other machines, and people, get of a run: its outputs by DVC's remote, its experiment by git's."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from flows import bridge
from flows.run.policies import Share
from flows.system.git import git
from tasks.core.errors import MachineError, Unavailable
from tasks.core.paths import PATHS
from tasks.named.choices import hint


def check(share: Share) -> None:
    """Raise `MachineError` where runs are to be shared by remotes that nobody configured, before one starts."""
    default, known = bridge.remotes()
    if not (wanted := share.dvc or default):
        raise MachineError(
            f"{PATHS.policies}: runs are to be shared, but DVC has no default remote for their outputs; run: dvc "
            "remote add --default NAME URL (or set share: null)."
        )
    if wanted not in known:
        raise MachineError(f"{PATHS.policies}: DVC has no remote {wanted!r}, which share names; {hint(wanted, known)}")
    if share.git not in (names := git("remote").split()):
        raise MachineError(
            f"{PATHS.policies}: git has no remote {share.git!r}, which share names; {hint(share.git, names)}"
        )


def fetch(share: Share, tell: Callable[[str], None]) -> None:
    """Bring into the cache what others made of this revision, and the index of what they made of any other.

    Nobody fetches all that was ever shared: a stage whose inputs are in the index takes its outputs from the remote
    when it comes to it (flows/bridge/storage/restore.py). A remote that is away costs time, not the run.
    """
    if error := _dvc("fetch", "--run-cache", *_remote(share)):
        tell(f"the remote did not answer; stages that others have run may run again: {error}")


def find(revision: str, share: Share | None) -> str:
    """The commit of an experiment, a version, or a revision of git; where it is unknown here, as the git remote has it.

    Who queues a run, or ran what another one starts from, may have another clone. What is here stays as it is.
    """
    try:
        return bridge.find(revision)
    except MachineError:
        if share is None or revision.startswith("-"):
            raise
    try:
        named = (f"refs/exps/*/{revision}", f"refs/tags/*@{revision}")
        lines = git("ls-remote", "--refs", share.git, *named).splitlines()
        git("fetch", "--quiet", share.git, *(f"{ref}:{ref}" for ref in (line.split()[1] for line in lines)))
        return bridge.find(revision)
    except MachineError as error:
        raise MachineError(
            f"neither git here nor {share.git} has the revision '{revision}'; push it from where it is. ({error})"
        ) from None


def push(name: str, share: Share, tell: Callable[[str], None]) -> None:
    """Push the outputs of this checkout, then the experiment `name`: who sees it can have all of it.

    Raises `Unavailable` where a remote is away for longer than the tries take.
    """
    steps = (
        partial(_dvc, "push", "--run-cache", *_remote(share)),
        partial(bridge.upload, share.dvc),
        partial(_dvc, "exp", "push", "--force", "--no-cache", share.git, name),
    )
    if error := _tried(steps, name, share, tell):
        more = f" --remote {share.dvc}" if share.dvc else ""
        raise Unavailable(
            f"the experiment {name} is stored on this machine, but could not be shared: {error} "
            f"When the remote answers: dvc exp push --run-cache{more} {share.git} {name}"
        )


def push_stage(stage: str, share: Share, tell: Callable[[str], None]) -> None:
    """Push the outputs of one stage of this checkout, with the index of the run cache, by which others find them.

    Raises `Unavailable` where the remote is away for longer than the tries take.
    """
    steps = (partial(_dvc, "push", "--run-cache", *_remote(share), stage), partial(bridge.upload, share.dvc))
    if error := _tried(steps, stage, share, tell):
        raise Unavailable(
            f"the outputs of {stage} are stored on this machine, but could not be shared: {error} Run again."
        )


def send(commit: str, share: Share) -> None:
    """Push a commit that is on no branch; raises `Unavailable` where the git remote does not take it."""
    try:
        git("push", "--quiet", share.git, f"{commit}:{_ref(commit)}")
    except MachineError as error:
        raise Unavailable(f"{share.git} rejects the work for another machine: {error}") from None


def receive(commit: str, share: Share) -> str:
    """Fetch what another machine sent, unless it is here; return its name. Raises `Unavailable` where it is not had."""
    try:
        return bridge.find(commit)
    except MachineError:
        pass
    try:
        git("fetch", "--quiet", share.git, _ref(commit))
        return bridge.find(commit)
    except MachineError as error:
        raise Unavailable(f"{share.git} does not have the work for this machine: {error}") from None


def forget(commit: str, share: Share) -> None:
    """Remove from the git remote what was sent; where it is away, the name of a small commit stays there."""
    with suppress(MachineError):
        git("push", "--quiet", share.git, f":{_ref(commit)}")


def _ref(commit: str) -> str:
    return f"refs/temper/stages/{commit}"


def _tried(steps: Sequence[Callable[[], str]], name: str, share: Share, tell: Callable[[str], None]) -> str:
    """Take all steps, again from the first where one fails; return why the last try failed, "" where it did not."""
    error = ""
    for number in range(share.retries + 1):
        if not (error := next((line for step in steps if (line := step())), "")):
            break
        if number < share.retries:
            delay = share.delay * 2**number
            tell(f"sharing {name}: try {number + 2} of {share.retries + 1} in {delay:g} s: {error}")
            time.sleep(delay)
    return error


def _remote(share: Share) -> list[str]:
    return ["--remote", share.dvc] if share.dvc else []


def _dvc(*arguments: str) -> str:
    """Run dvc; return "" or, where it fails, the line in which it says why."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if not done.returncode:
        return ""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]
