"""What a stage reads, sent to another clone: just that, by the remotes of git and DVC, and read before it counts."""

import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.bridge import ensure_current, pack, stage_key, unpack
from flows.system.git import git
from tasks.core.errors import MachineError, Unavailable
from tests.flows.bridge.small import Project, work


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project all of whose stages have run with settings that nobody committed; a clone, where nothing has."""
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "toy")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "toy@localhost")
    project = Project(Path.cwd(), "copy")
    with Repo() as repo, repo.config.edit("repo") as config:
        config["remote"] = {"store": {"url": str(tmp_path / "store")}}
        config["core"]["remote"] = "store"
    Path(".gitignore").write_text("/data/*\n!/data/ledger.json\n")
    Path("dvc.lock").unlink()
    git("add", "--all")
    git("commit", "--quiet", "--message", "toy")
    project.path.joinpath("dvc.lock").write_bytes(project.lock)
    Path("params.yaml").write_text("rate: 0.2\n")
    assert project.run() == {"model": "ran", "report": "ran"}
    subprocess.run(["git", "clone", "--quiet", ".", str(tmp_path / "two")], check=True)
    return tmp_path / "two"


def test_the_other_clone_has_what_the_stage_reads_and_makes_the_same_bytes(
    sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, key = git("status", "--porcelain"), stage_key("model")
    weights = Path("data/model/weights.bin").read_bytes()
    commit = pack("model", None)
    assert git("status", "--porcelain") == before, "the index of the checkout is as it was"
    git("push", "--quiet", str(sent), f"{commit}:refs/temper/stages/{commit}")
    monkeypatch.chdir(sent)
    git("checkout", "--quiet", commit)
    assert Path("params.yaml").read_text() == "rate: 0.2\n"
    unpack("model", None)
    assert Path("data/rows.txt").is_file()
    assert not Path("data/model").exists()
    assert stage_key("model") == key
    assert ensure_current("model", work).how == "ran"
    assert Path("data/model/weights.bin").read_bytes() == weights


def test_what_is_not_whole_in_the_remote_is_named(sent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = pack("model", None)
    git("push", "--quiet", str(sent), f"{commit}:refs/temper/stages/{commit}")
    (stored,) = (path for path in (sent.parent / "store").rglob("*") if path.is_file() and path.stat().st_size > 10_000)
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1])
    monkeypatch.chdir(sent)
    git("checkout", "--quiet", commit)
    with pytest.raises(MachineError, match=r"model: data/rows.txt is incomplete in the DVC remote; push it again"):
        unpack("model", None)
    assert not Path("data/rows.txt").exists()


def test_a_remote_that_takes_nothing_is_said(sent: Path) -> None:
    store = sent.parent / "store"
    store.write_text("no folder")
    with pytest.raises(Unavailable, match=r"the inputs of model could not be pushed: "):
        pack("model", None)


def test_what_another_machine_made_is_taken_for_what_ran(sent: Path) -> None:
    """The command is not called here; what comes of it is restored, and read."""
    weights = Path("data/model/weights.bin").read_bytes()
    keys: list[str] = []

    def elsewhere(key: str) -> float:
        keys.append(key)
        _push_run_cache()
        return 7.0

    outcome = ensure_current("model", _never, force=True, elsewhere=elsewhere)
    assert (outcome.how, outcome.seconds, keys) == ("ran", 7.0, [stage_key("model")])
    assert Path("data/model/weights.bin").read_bytes() == weights
    shutil.rmtree(".dvc/cache")
    assert ensure_current("model", _never, force=True, remote="store", elsewhere=lambda key: 1.0).how == "ran"
    assert Path("data/model/weights.bin").read_bytes() == weights
    assert len(list(Path(".dvc/cache/runs").glob("*/*/*"))) == 1, "of one key, not of all"
    Path("params.yaml").write_text("rate: 0.3\n")
    with pytest.raises(Unavailable, match="model ran on another machine, and its outputs did not arrive complete"):
        ensure_current("model", _never, remote="", elsewhere=elsewhere)


def _push_run_cache() -> None:
    with Repo() as repo:
        repo.push(run_cache=True)


def _never(command: object) -> float:
    raise AssertionError(f"{command} was to run elsewhere")
