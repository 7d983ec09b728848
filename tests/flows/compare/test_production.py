"""The history of promotions, of tags as GTO names them."""

import subprocess
from pathlib import Path

import pytest

from flows.compare.production import promotions

DVC = "artifacts:\n  model: {path: data/merged, type: model}\n"


def git(*arguments: str, when: str = "2026-01-01T00:00:00Z") -> str:
    command = ["git", "-c", "user.name=ann", "-c", "user.email=a@b", *arguments]
    dated = {"GIT_COMMITTER_DATE": when, "PATH": "/usr/bin:/bin:/usr/local/bin"}
    return subprocess.run(command, env=dated, capture_output=True, text=True, check=True).stdout.strip()


def test_each_stage_has_its_own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    Path("dvc.yaml").write_text(DVC)
    git("add", "--all")
    commits = []
    for name in ("one", "two"):
        git("commit", "--quiet", "--allow-empty", "--message", name)
        commits.append(git("rev-parse", "HEAD"))
    one, two = commits
    assert promotions() == []
    for tag, commit, message in (
        ("model@v0.0.1", one, "x"),
        ("model#staging#1", one, "0.5; gain 0.1\n\nevery rule holds."),
        ("model#production#2", one, "0.5; gain 0.1\n\nevery rule holds."),
        ("model#production#3", two, "0.6; gain 0.2\n\nagainst the rules: merged\nloses."),
        ("model#production!#10", two, "taken back"),
        ("other#production#11", one, "another model"),
        ("model#odd", one, "no number"),
    ):
        git("tag", "--annotate", tag, commit, "--message", message, when=f"2026-01-02T00:00:{len(message):02}Z")
    newest, third, second, first = promotions()
    assert (newest.revoked, newest.replaced, newest.current) == (True, two, False)
    assert (third.commit, third.version, third.replaced, third.current) == (two, "", one, False)
    assert third.why == "against the rules: merged loses." and third.scores == "0.6; gain 0.2"
    assert (second.version, second.replaced, second.who) == ("v0.0.1", "", "ann") and second.when.startswith(
        "2026-01-02"
    )
    assert (first.stage, first.current) == ("staging", True)
