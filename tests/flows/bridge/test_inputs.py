"""Data that people edit never share a file with DVC's cache: each old version stays what it was."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from flows.bridge import checkout_inputs, edited_inputs, ensure_current, sort_lockfile, survey, track
from tasks.core.errors import MachineError
from tests.flows.bridge.small import Project, work
from tests.flows.project import Toy

FIRST, SECOND = "one\n" * 1000, "two\n" * 1000


@pytest.fixture
def rows(fresh: Path, tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is tracked, in a project that links all that it can."""
    toy = Toy(tmp_path / "project", api)
    shutil.copytree(fresh, toy.path, dirs_exist_ok=True)
    monkeypatch.chdir(toy.path)
    toy.dvc("config", "cache.type", "reflink,hardlink,copy")
    file = Path("data/mine.jsonl")
    file.write_text(FIRST)
    track([file])
    return file


def cached(text: str) -> Path:
    md5 = hashlib.md5(text.encode()).hexdigest()
    return Path(".dvc/cache/files/md5") / md5[:2] / md5[2:]


def edit(file: Path, text: str) -> None:
    """As an editor does that writes in place."""
    with file.open("r+") as opened:
        opened.write(text)
        opened.truncate()


def test_an_edit_leaves_the_old_version_in_the_cache(rows: Path) -> None:
    assert os.access(rows, os.W_OK)
    edit(rows, SECOND)
    track([rows])
    assert cached(FIRST).read_text() == FIRST
    assert cached(SECOND).read_text() == SECOND


def test_links_of_earlier_versions_are_undone_before_a_run(rows: Path) -> None:
    rows.unlink()
    rows.hardlink_to(cached(FIRST))
    survey()
    assert rows.stat().st_nlink == 1
    edit(rows, SECOND)
    assert cached(FIRST).read_text() == FIRST


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose first stage reads rows that are tracked by DVC; all stages have run."""
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, "copy")
    track([Path("seed.txt")])
    return project


STORED = "seed.txt has changed since it was added: stored anew, seed.txt.dvc updated; commit it with dvc.lock."


def hash_in(file: str, path: str) -> str:
    """What a .dvc file, or dvc.lock, names as the hash of a file."""
    document = YAML(typ="safe").load(Path(file))
    stages = document["stages"].values() if "stages" in document else [document]
    items = [item for stage in stages for item in (*stage.get("deps", []), *stage.get("outs", []))]
    (md5,) = {item["md5"] for item in items if item["path"] == path}
    return str(md5)


def test_an_input_that_was_edited_is_stored_before_dvc_lock_names_it(read: Project) -> None:
    """And `dvc`, which would do the same, has nothing left to do."""
    edit(Path("seed.txt"), SECOND)
    before = Path("seed.txt.dvc").read_bytes()
    assert edited_inputs() == [
        "seed.txt has changed since it was added; temper run stores it anew and updates seed.txt.dvc."
    ]
    plan: list[str] = []
    survey(plan.append, look_up=True)
    assert plan == edited_inputs()
    assert Path("seed.txt.dvc").read_bytes() == before and not cached(SECOND).exists()
    assert "rows" in read.run() and read.lines == [STORED]
    assert hash_in("dvc.lock", "seed.txt") == hash_in("seed.txt.dvc", "seed.txt")
    assert cached(SECOND).read_text() == SECOND
    assert edited_inputs() == [] and read.run() == {} and read.lines == []
    with Repo() as repo:
        assert repo.status() == {}


def test_the_record_is_that_of_dvc_itself(read: Project, tmp_path: Path) -> None:
    edit(Path("seed.txt"), SECOND)
    Path("seed.txt.dvc").write_text(f"# whose\n{Path('seed.txt.dvc').read_text()}")
    shutil.copytree(tmp_path, tmp_path.with_name("other"))
    survey()
    with Repo(str(tmp_path.with_name("other"))) as repo:
        repo.commit(force=True, data_only=True)
    assert Path("seed.txt.dvc").read_bytes() == (tmp_path.with_name("other") / "seed.txt.dvc").read_bytes()


def test_rows_that_an_earlier_run_read_are_stored_though_no_stage_runs(read: Project) -> None:
    """As where dvc.lock was written by a version that did not store them."""
    edit(Path("seed.txt"), SECOND)
    read.run()
    cached(SECOND).unlink()
    Path("seed.txt.dvc").write_text(
        Path("seed.txt.dvc").read_text().replace(hash_in("seed.txt.dvc", "seed.txt"), "f" * 32)
    )
    assert read.run() == {} and read.lines == [STORED]
    assert cached(SECOND).read_text() == SECOND


def test_an_edit_while_earlier_stages_run_is_stored_too(read: Project) -> None:
    (rows,) = [status for status in survey() if status.name == "rows"]
    edit(Path("seed.txt"), SECOND)
    ensure_current("rows", work, sources=rows.sources, tell=read.lines.append)
    sort_lockfile()
    assert read.lines[-1:] == [STORED]
    assert cached(SECOND).read_text() == SECOND
    assert hash_in("dvc.lock", "seed.txt") == hash_in("seed.txt.dvc", "seed.txt")


def test_what_is_tracked_is_stored_anew_where_the_cache_had_it_damaged(rows: Path) -> None:
    cached(FIRST).chmod(0o644)
    cached(FIRST).write_text("half")
    cached(FIRST).chmod(0o444)
    track([rows])
    assert rows.read_text() == FIRST
    assert cached(FIRST).read_text() == FIRST


@pytest.mark.parametrize("where", ["cache", "remote", "both"])
def test_a_damaged_input_comes_from_the_remote_or_is_named(rows: Path, tmp_path: Path, where: str) -> None:
    """As a run in a worktree of its own takes it."""
    lines: list[str] = []
    remote = tmp_path / "remote"
    with Repo() as repo:
        with repo.config.edit("repo") as config:
            config["remote"], config["core"]["remote"] = {"store": {"url": str(remote)}}, "store"
        repo.push()
    stored = remote / cached(FIRST).relative_to(".dvc/cache")
    for file in {"cache": [cached(FIRST)], "remote": [stored], "both": [cached(FIRST), stored]}[where]:
        file.chmod(0o644)
        file.write_text("half")
        file.chmod(0o444)
    if where == "remote":
        cached(FIRST).unlink()
    rows.unlink()
    if where == "cache":
        checkout_inputs(lines.append)
        assert rows.read_text() == FIRST
    else:
        with pytest.raises(MachineError, match=r"data/mine\.jsonl: the copy on the remote store is damaged"):
            checkout_inputs(lines.append)
        assert not rows.exists()
    assert [line.partition(":")[0] for line in lines] == ["data/mine.jsonl"] * (2 if where == "both" else 1)
    assert len(list(Path(".dvc/cache/damaged").iterdir())) == len(lines)


def test_outputs_that_are_restored_are_links_where_the_disk_shares_no_blocks(
    finished: Path, tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read-only, and take their room once."""
    toy = Toy(tmp_path / "project", api)
    shutil.copytree(finished, toy.path, dirs_exist_ok=True)
    monkeypatch.chdir(toy.path)
    lock = YAML(typ="safe").load(Path("dvc.lock"))
    output = Path(lock["stages"]["train"]["outs"][0]["path"])
    shutil.rmtree(output) if output.is_dir() else output.unlink()
    ensure_current("train", lambda command: pytest.fail("it is in the cache"))
    file = next(file for file in ([output] if output.is_file() else output.rglob("*")) if file.is_file())
    command = ["cp", "--reflink=always", str(file), str(tmp_path / "copy")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        assert file.stat().st_nlink > 1
        assert not file.stat().st_mode & 0o222
