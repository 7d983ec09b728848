"""Which files of a folder were edited since dvc.lock was recorded: git is asked once for all folders."""

import os
import subprocess
from pathlib import Path

import pytest

from flows.bridge import status
from flows.bridge.status import StatusCache


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, capture_output=True)


def test_edited_files_are_those_of_the_folder_and_git_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "repository/project"  # below the repository's own folder
    for name in ("a/x", "a/deep/y", "ab/z", "code.py", "dvc.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("old")
    link = tmp_path / "link"
    link.symlink_to(root)
    monkeypatch.chdir(root.parent)
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "a run")
    monkeypatch.chdir(root)
    asked, real = [], status._git

    def counted(*words: str) -> list[str]:
        asked.append(words)
        return real(*words)

    monkeypatch.setattr(status, "_git", counted)
    for name in ("a/deep/y", "ab/z", "code.py", "a/new"):
        Path(name).write_text("new")
    os.utime("dvc.lock", (1, 1))
    cache = StatusCache()
    assert cache.edited(str(root / "a")) == ["a/deep/y", "a/new"]
    assert cache.edited(str(link / "a")) == ["a/deep/y", "a/new"]
    assert cache.edited(str(root / "code.py")) == ["code.py"]
    assert cache.edited(str(root / "b")) == []
    assert len(asked) == 3
    os.utime("a/new", (2, 2))
    os.utime("dvc.lock", (3, 3))
    os.utime("a/deep/y", (4, 4))
    assert cache.edited(str(root / "a")) == ["a/deep/y"], "the one written since dvc.lock"
