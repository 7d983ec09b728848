"""A newer temper in a project: its code merged by git, params.yaml by key, all of it or nothing."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from flows.params.defaults import defaults, own_settings
from flows.params.model import model
from flows.release.new import UPSTREAM
from flows.system.git import commit, git
from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import PATHS
from tasks.core.settings import load
from tasks.core.yaml_files import parse

PARAMS = str(PATHS.params)


def upgrade(tag: str | None = None) -> list[str]:
    """Merge a release into this project and commit it; returns what was done, a line each.

    `tag`: a tag, branch or commit of the remote `temper`; None: its newest tag, else its main branch. Raises
    `MachineError` or `SettingsError` where project and release cannot be joined; then everything is as it was.
    """
    if git("status", "--porcelain", "--untracked-files=no"):
        raise MachineError("you have uncommitted changes; commit them first.")
    if UPSTREAM not in git("remote").split():
        raise MachineError(f"there is no git remote {UPSTREAM}; run: git remote add {UPSTREAM} URL")
    git("fetch", "--quiet", "--tags", UPSTREAM)
    release = _release(tag)
    target = commit(release)
    before = git("merge-base", "HEAD", target)
    if before == target:
        return [f"This project already has {release}."]
    load(model(), PATHS.params)
    own = own_settings(parse(PATHS.params.read_text(encoding="utf-8"), "safe"), defaults(model()))
    try:
        lines = _merge(target, release, own)
    except BaseException:
        git("reset", "--quiet", "--merge", "HEAD")  # nothing else was changed here: that was looked at above
        raise
    git("commit", "--quiet", "--no-verify", "--message", f"temper {release}")
    if git("diff", "--name-only", "HEAD^", "HEAD", "--", str(PATHS.requirements)):
        lines.append("The locked versions have changed: run make setup.")
    return [f"Now at {release}.", *lines]


def _release(tag: str | None) -> str:
    """What to merge, as git names it."""
    if tag:
        known = git("tag", "--list", tag)
        return (
            tag if known else f"{UPSTREAM}/{tag}" if git("branch", "--remotes", "--list", f"{UPSTREAM}/{tag}") else tag
        )
    head = f"{UPSTREAM}/main"
    return git("tag", "--list", "v*", "--sort=-version:refname", "--merged", head).partition("\n")[0] or head


def _merge(target: str, release: str, own: dict[str, Any]) -> list[str]:
    """Merge in the working tree, without a commit; what changed in params.yaml, a line each."""
    command = ["git", "merge", "--quiet", "--no-commit", "--no-ff", target]
    subprocess.run(command, capture_output=True, check=False)
    torn = set(git("diff", "--name-only", "--diff-filter=U").split("\n")) - {"", PARAMS}
    if torn:
        raise MachineError(
            f"this project and {release} have both changed {', '.join(sorted(torn))}; nothing was "
            f"changed here. Undo your change, or run `git merge {release}` and resolve the conflict."
        )
    git("checkout", target, "--", PARAMS)
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(own, file)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "flows.release.merge_params", file.name],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},  # the newer code knows its own keys
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SettingsError(f"{release} does not accept a setting of this project: {done.stderr.strip()[-600:]}")
    git("add", PARAMS)
    return [f"{PARAMS}: {line}" for line in done.stdout.splitlines() if line]
