"""A folder that lacks what DVC has on record, as a fresh clone does."""

import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.bridge import track, unpulled
from flows.plan import preflight
from flows.plan.unpulled import check_candidates
from tasks.core.errors import MachineError
from tests.flows.bridge.small import Project


def test_the_command_that_brings_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, "copy")
    track([Path("seed.txt")])
    assert unpulled(["seed.txt", "data/model", "data/nothing"]) == [] == list(preflight._data())
    Path("seed.txt").unlink()
    shutil.rmtree("data/model")
    assert list(preflight._data()) == ["seed.txt is not here, but DVC has it on record; run `dvc checkout seed.txt`."]
    assert unpulled(["data/model/weights", "data/rows.txt"]) == [("data/model/weights", "data/model", "checkout")]
    project.out("data/model").unlink()
    assert unpulled(["data/model"]) == [("data/model", "data/model", "")]
    with Repo() as repo, repo.config.edit("repo") as config:
        config["remote"], config["core"] = {"store": {"url": str(tmp_path / "store")}}, {"remote": "store"}
    assert unpulled(["data/model"]) == [("data/model", "data/model", "pull")]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("pull", "data/merged is not here, but DVC has it on record; run `dvc pull`."),
        ("", "data/merged is not here: .* no remote is configured to pull it from. Run `dvc push` where it was made"),
    ],
)
def test_a_model_that_was_not_pulled_is_not_said_never_to_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    record = {"data/merged": command}
    monkeypatch.setattr(
        "flows.bridge.unpulled", lambda paths: [(path, path, record[path]) for path in paths if path in record]
    )
    check_candidates(["adapter", "nf4"])
    with pytest.raises(MachineError, match=sentence):
        check_candidates(["adapter", "merged"])
    Path("data/merged").mkdir(parents=True)
    check_candidates(["merged"])
