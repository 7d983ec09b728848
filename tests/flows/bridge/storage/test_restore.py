"""A second machine takes from the DVC remote what it lacks, reads it, and makes the rest."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.bridge import upload
from tests.flows.bridge.small import OUTS, Project


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return cloned(tmp_path, monkeypatch)


def cloned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> Project:
    """A project that has pushed all it made; the current folder is a clone of it that has no cache.

    git has its files and no dvc.lock, as where the run was another experiment.
    """
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    monkeypatch.chdir(mine)
    project = Project(mine, "copy", more)
    with Repo() as repo:
        with repo.config.edit("repo") as config:
            config["remote"], config["core"]["remote"] = {"store": {"url": str(tmp_path / "store")}}, "store"
        repo.push(run_cache=True)
    assert upload(None) == ""
    files = [".dvc", "dvc.yaml", "params.yaml", "seed.txt"]
    who = [word for key in ("user.name", "user.email") for word in ("-c", f"{key}=toy@localhost")]
    for command in (["add", *files], ["commit", "--quiet", "--message=all"], ["clone", "--quiet", ".", str(other)]):
        subprocess.run(["git", *who, *command], check=True)
    monkeypatch.chdir(other)
    Path("data").mkdir()
    with Repo() as repo:
        repo.fetch(run_cache=True)
    assert not any(path.is_file() for path in Path(".dvc/cache/files").rglob("*")), "objects are not fetched in advance"
    return project


def test_everything_is_restored_without_a_common_cache(shared: Project) -> None:
    assert shared.run(remote="") == dict.fromkeys(OUTS, "restored")
    assert shared.lines == []
    assert shared.written() == shared.bytes
    assert Path("dvc.lock").read_bytes() == shared.lock


def test_nothing_is_taken_where_nobody_asked_for_it(shared: Project) -> None:
    assert shared.run() == dict.fromkeys(OUTS, "ran")


def half(file: Path) -> None:
    """Half of it, and read-only: DVC takes it for whole."""
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:1000])
    file.chmod(0o444)


def none(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [half, none])
def test_what_the_remote_has_damaged_is_made_again(
    shared: Project, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(tmp_path / "store" / shared.out("data/rows.txt").relative_to(".dvc/cache"))
    assert shared.run(remote="store") == {**dict.fromkeys(OUTS, "restored"), "rows": "ran"}
    assert [line.partition(":")[0] for line in shared.lines] == ["rows", "data/rows.txt"] * (damage is half)
    assert shared.written() == shared.bytes
    assert shared.run() == {}


def test_a_damaged_object_comes_back_from_the_remote(shared: Project) -> None:
    assert shared.run(remote="") == dict.fromkeys(OUTS, "restored")
    half(shared.out("data/report.txt"))
    Path("data/report.txt").unlink()
    assert shared.run(remote="") == {"report": "restored"}
    assert len(shared.lines) == 1
    assert shared.written() == shared.bytes


def test_a_remote_that_is_away_costs_time_and_not_the_run(shared: Project, tmp_path: Path) -> None:
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").write_text("no folder")
    assert shared.run(remote="") == dict.fromkeys(OUTS, "ran")
    assert shared.written() == shared.bytes


def test_a_remote_that_nobody_configured_is_said(shared: Project) -> None:
    assert shared.run(remote="nowhere") == dict.fromkeys(OUTS, "ran")
    assert all("the DVC remote did not answer" in line for line in shared.lines)
    assert len(shared.lines) == len(OUTS)
