"""Commits of the past hold what anybody wrote: read within bounds, in a sentence that names commit and file."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.bridge import parse
from flows.compare.runs import runs
from flows.history.committed import decision_at, file_at, object_at, settings_at
from flows.history.snapshot import Snapshot
from tasks.core.errors import MachineError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - path: o\n      md5: d41d8cd9\n"
DECISION = {
    "promote": True, "reason": "better", "candidate": "merged", "metric": "exact_match", "value": 0.5, "low": 0.4,
    "high": 0.6, "n": 20, "gain": 0.1, "p": 0.01,
}  # fmt: skip

Commit = Callable[..., str]


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commit:
    """Commits files by name in a repository in the current folder; returns the commit."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")

    def committed(subject: str = "a run", **files: str | bytes) -> str:
        for name, content in files.items():
            names = {"params": "params.yaml", "lock": "dvc.lock", "comparison": "data/report/comparison.json"}
            path = Path(names.get(name, "data/decision/decision.json"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--message", subject)
        return git("rev-parse", "HEAD")

    return committed


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (BOMB, "too large: more than 10,000 values"),
        ("x: &x [*x]\n", "endless: an alias refers to a value that contains it"),
        ("- a\n", "no sections with keys"),
        ("x: [", "not valid YAML"),
        ("x: 2020-01-02\n", "2020-01-02 is a date; quote it"),
        (b"x: \xff\n", "no UTF-8 at byte 3"),
    ],
)
def test_settings_of_the_past_are_read_within_bounds(commit: Commit, content: str | bytes, why: str) -> None:
    revision = commit(params=content)
    with pytest.raises(MachineError, match=rf"^params\.yaml at {revision[:10]}: .*{why}.*; name another revision\.$"):
        settings_at(revision)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[" * 100_000, "not valid JSON .nested too deep"),
        ("[1]", "no JSON object"),
        (json.dumps({**DECISION, "p": "x"}), "p: input should be a valid number"),
        (json.dumps({**DECISION, "value": float("nan")}), "value: input should be a finite number"),
        (json.dumps({"promote": True}), "reason: field required"),
    ],
)
def test_a_decision_of_the_past_is_one_or_named(commit: Commit, content: str, why: str) -> None:
    revision = commit(decision=content)
    with pytest.raises(MachineError, match=rf"decision\.json at {revision[:10]}: .*{why}"):
        decision_at(revision)


def test_what_is_not_there_is_empty(commit: Commit) -> None:
    revision = commit()
    assert (file_at(revision, "a"), settings_at(revision), object_at(revision, "a.json"), decision_at(revision)) == (
        "", {}, {}, {},
    )  # fmt: skip


def test_a_large_file_is_not_read(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.history.committed.LARGEST", 100)
    revision = commit(params="x: 1\n" + "#" * 100)
    for where in (revision, "."):
        with pytest.raises(MachineError, match=r"params\.yaml.*: 105 bytes are more than such a file has"):
            settings_at(where)


@pytest.mark.parametrize(
    "text", [BOMB, "stages: [1]\n", "stages:\n  a: 3\n", "stages:\n  a:\n    outs: [{}]\n", "[", "3"]
)
def test_a_lock_file_of_the_past_is_one_or_refused(commit: Commit, text: str) -> None:
    revision = commit(lock=text)
    with pytest.raises(MachineError, match=r"^dvc\.lock: .*; restore it from git, or name another revision\.$"):
        Snapshot(revision)
    assert parse(LOCK)["a"].outs["o"].md5 == "d41d8cd9"


def test_one_commit_that_cannot_be_read_does_not_hide_the_others(commit: Commit) -> None:
    commit(params="a: 1\n", lock=LOCK)
    commit("bad\u2028subject\x0cof a run", params=BOMB, lock=LOCK + "#\n")
    commit(params="a: 2\n", lock=LOCK + "##\n", decision=json.dumps(DECISION))
    bad: Any
    newest, bad, oldest = runs()
    assert newest.verdict == "allowed"
    assert newest.changed[0].startswith("params.yaml at ")  # of the commit before
    assert "too large" in bad.changed[0]
    assert oldest.changed == []
