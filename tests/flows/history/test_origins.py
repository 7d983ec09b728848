"""Whether git or DVC still has what went into a run of the past: real git, and DVC's real cache."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.bridge import track
from flows.history.origins import mismatches
from flows.history.registry import register
from flows.history.reproduce import _check_inputs
from tasks.core.errors import CheckFailed, InputError
from tests.flows.history.test_committed import DECISION, git

ROWS = Path("data/own")
PIPELINE = "artifacts: {model: {path: data/merged, type: model}}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose folder of rows is tracked by DVC."""
    monkeypatch.chdir(tmp_path)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@b")
    git("init", "--quiet")
    Repo.init(str(tmp_path)).close()
    Path("dvc.yaml").write_text(PIPELINE)
    ROWS.mkdir(parents=True)
    (ROWS / "rows.csv").write_text("first\n")
    track([ROWS])
    yield tmp_path


def folder_hash(text: str) -> str:
    """The hash by which DVC knows the folder of rows with this text in its file."""
    entry = {"md5": hashlib.md5(text.encode()).hexdigest(), "relpath": "rows.csv"}
    return f"{hashlib.md5(json.dumps([entry]).encode()).hexdigest()}.dir"


def ran(text: str, **more: str) -> str:
    """Commit a run that read rows with this text, and more by path and hash; the commit."""
    deps = [{"path": path, "md5": md5} for path, md5 in {str(ROWS): folder_hash(text), **more}.items()]
    outs = [{"path": "data/clean/train.parquet", "md5": "1" * 32}]
    model = {
        "cmd": "y",
        "deps": [{"path": "data/clean", "md5": "2" * 32}],
        "outs": [{"path": "data/merged", "md5": "3" * 32}],
    }
    stages = {"clean": {"cmd": "x", "deps": deps, "outs": outs}, "merge": model}
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))
    Path("data/decision").mkdir(exist_ok=True)
    Path("data/decision/decision.json").write_text(json.dumps(DECISION))
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", text)
    return git("rev-parse", "HEAD")


def test_what_the_dvc_file_names_is_no_mismatch_whether_or_not_it_was_pulled(project: Path) -> None:
    revision = ran("first\n", **{"dvc.yaml": "4" * 32, "data/own/rows.csv": "5" * 32})
    assert mismatches(revision) == []
    subprocess.run(["rm", "-rf", ".dvc/cache"], check=True)
    assert mismatches(revision) == []


def test_rows_that_nobody_has_are_named_and_their_model_is_not_promoted(project: Path) -> None:
    """As a run left them that did not store what it read."""
    revision = ran("second\n")
    (lost,) = mismatches(revision)
    assert (lost.path, lost.recorded, lost.file, lost.tracked, lost.lost) == (
        "data/own", folder_hash("second\n"), "data/own.dvc", folder_hash("first\n"), True,
    )  # fmt: skip
    what = (
        f"dvc.lock of HEAD names data/own as {lost.recorded[:8]}, but data/own.dvc as {lost.tracked[:8]}: it was edited"
    )
    with pytest.raises(CheckFailed, match=rf"^{what} .*\nTo register it all the same: .*--against-the-rules$"):
        register("HEAD", "production")
    assert git("tag") == ""
    assert any(line.startswith(what) for line in register("HEAD", "staging", force=True))
    with pytest.raises(InputError, match=f"^{what.replace('HEAD', 'v0.0.1')}"):
        _check_inputs(revision, "v0.0.1", pytest.fail)
    (ROWS / "rows.csv").write_text("second\n")
    track([ROWS])
    assert [one.lost for one in mismatches(revision)] == [False], "the cache has them now"
    Path(".dvc/cache/files/md5", lost.recorded[:2], lost.recorded[2:]).unlink()
    assert [one.lost for one in mismatches(revision)] == [True]


def test_rows_that_were_added_after_the_run_are_told_from_those_that_are_lost(project: Path) -> None:
    ran("first\n")
    (ROWS / "rows.csv").write_text("second\n")
    track([ROWS])
    subprocess.run(["rm", "-rf", ".dvc/cache"], check=True)
    revision = ran("first\n")
    assert [one.lost for one in mismatches(revision)] == [False], "an earlier commit names them"
    lines: list[str] = []
    _check_inputs(revision, "HEAD", lines.append)
    assert [line.partition(": ")[2] for line in lines] == [
        "the input was changed after the run. Run again, then commit dvc.lock and data/own.dvc together."
    ]


def test_what_neither_git_nor_dvc_tracks_is_said_and_does_not_stop_a_promotion(project: Path) -> None:
    Path(".gitignore").write_text("/models\n")
    Path("models").mkdir()
    ran("first\n", models=f"{'6' * 32}.dir")
    sentence = "models is in neither git nor DVC at HEAD, so nobody else can rebuild this model; run: temper data add"
    assert [line for line in register("HEAD", "staging") if line.startswith(sentence)]
    _check_inputs("HEAD", "HEAD", lambda line: None)
    Path("models").rmdir()
    with pytest.raises(InputError, match=f"^{sentence}"):
        _check_inputs("HEAD", "HEAD", pytest.fail)
