"""Commits by the names that people have for them."""

import subprocess
from pathlib import Path

import pytest

from flows.bridge import find
from flows.run.policies import Share
from flows.worktree import remotes
from tasks.core.errors import MachineError


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=ann", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_version_of_the_model_is_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    Path("dvc.yaml").write_text("artifacts:\n  model: {path: data/merged, type: model}\n")
    git("add", "--all")
    commits = []
    for version in ("v0.0.1", "v1.0.0"):
        git("commit", "--quiet", "--allow-empty", "--message", version)
        git("tag", "--annotate", f"model@{version}", "--message", "as GTO does")
        git("tag", f"other@{version}", "HEAD~0")
        commits.append(git("rev-parse", "HEAD"))
    first, second = commits
    assert find("v0.0.1") == find("v1.0.0~1") == find("model@v0.0.1") == first and find("v1.0.0") == second
    git("tag", "v1.0.0", second)
    assert find("v1.0.0") == second, "a tag of the same commit"
    git("tag", "v0.0.1", second)
    with pytest.raises(MachineError, match=r"'v0.0.1' has two meanings: the tag v0.0.1 is .*; name the commit"):
        find("v0.0.1")
    git("tag", "--delete", "v0.0.1")
    git("clone", "--quiet", "--no-tags", ".", "clone")
    monkeypatch.chdir("clone")
    with pytest.raises(MachineError, match=r"git has no revision 'v0.0.1' here; .* `temper history` show"):
        find("v0.0.1")
    assert remotes.find("v0.0.1", Share()) == first, "as the git remote has it"
    Path("dvc.yaml").unlink()
    with pytest.raises(MachineError, match=r"git has no revision 'v0.0.1' here;"):
        find("v0.0.1")
