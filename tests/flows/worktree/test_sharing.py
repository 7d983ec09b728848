"""Two machines, each with a clone and a cache of its own, share runs by the remotes of git and DVC."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.plan import preflight
from flows.plan.preflight import faults
from flows.run.policies import Share
from flows.worktree.remotes import find
from tasks.core.errors import MachineError
from tasks.core.paths import Paths
from tests.flows.project import STAGES, Toy

SHARE = "share: {retries: 0}\n"


def deployed(**options: Any) -> tuple[str, dict[str, str]]:
    """Carry out a run in a worktree; return its name, and how each stage became current."""
    from flows.deployed import deployed

    facts: Any = deployed(**options)
    return facts["experiment"], dict(facts["stages"])


@pytest.mark.long
@pytest.mark.timeout(900)  # four runs in worktrees, with what `dvc` takes to push and to fetch
def test_what_one_machine_made_the_other_restores(new: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revision has no dvc.lock: what was made is found by its inputs, and nobody pays a teacher again."""
    origin, paid = tmp_path / "origin", new.gate / "paid"
    new.dvc("remote", "add", "store", str(tmp_path / "store"))
    Path("infra").mkdir()
    Path("infra/stages.yaml").write_text("share: {retries: 0, dvc: store}\n")
    new.call("git", "add", "--all")
    new.call("git", "commit", "--quiet", "--message", "share")
    new.call("git", "clone", "--quiet", "--bare", ".", str(origin))
    new.call("git", "remote", "add", "origin", str(origin))
    name, stages = deployed()
    assert stages == dict.fromkeys(STAGES, "ran")
    worked = {file: file.read_text() for file in new.gate.glob("count-*")}

    new.call("git", "clone", "--quiet", str(origin), str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path / "other")
    assert not Path(".dvc/cache").exists()
    _, stages = deployed()
    assert stages == dict.fromkeys(STAGES, "restored")
    assert {file: file.read_text() for file in worked} == worked
    assert len(paid.read_text().splitlines()) == 1

    shutil.rmtree(".dvc/cache")
    new.call("git", "-C", str(Path.cwd()), "fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
    _, stages = deployed(revision=name)
    assert stages == dict.fromkeys(STAGES, "restored"), "the revision has a dvc.lock"

    shutil.rmtree(".dvc/cache")
    records = Paths(Path.cwd()).responses_of_runs
    shutil.rmtree(records)
    _, stages = deployed(revision=name, settings={"generate": {"rows": 7}})
    assert stages["generate"] == "ran"
    (record,) = records.glob("*.jsonl")
    assert sorted(record.read_text().splitlines()) == sorted(paid.read_text().splitlines()), "what both paid for"


def test_a_revision_that_only_the_git_remote_has_is_fetched(new: Toy, tmp_path: Path) -> None:
    """A commit, a tag and an experiment that another clone pushed; what nobody pushed is named."""
    share, origin, other = Share(), tmp_path / "origin", Toy(tmp_path / "other", new.environment["PREFECT_API_URL"])
    new.call("git", "clone", "--quiet", "--bare", ".", str(origin))
    new.call("git", "remote", "add", "origin", str(origin))
    new.call("git", "clone", "--quiet", str(origin), str(other.path))
    other.call("git", "commit", "--quiet", "--allow-empty", "--message", "later")
    later = other.call("git", "rev-parse", "HEAD").strip()
    other.call("git", "update-ref", "refs/exps/ab/cdef/brave-otter", later)
    with pytest.raises(MachineError, match=f"neither git here nor origin has the revision '{later}'; push it"):
        find(later, share)
    other.call("git", "push", "--quiet", "origin", "HEAD", "refs/exps/ab/cdef/brave-otter", "HEAD:refs/tags/v2")
    with pytest.raises(MachineError, match=f"git has no revision '{later}' here;"):
        find(later, None)
    assert {find(name, share) for name in (later, "brave-otter", "v2", later[:12])} == {later}
    head = new.call("git", "rev-parse", "HEAD").strip()
    assert find("HEAD", share) == head != later, "what is here stays"


def test_a_remote_that_nobody_configured_is_said_before_a_run(new: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_refused", lambda: iter(()))  # of settings, which takes libraries of models
    Path("infra").mkdir()
    Path("infra/stages.yaml").write_text(SHARE)
    (fault,) = (line for line in faults() if "shared" in line)
    assert fault == (
        "infra/stages.yaml: runs are to be shared, but DVC has no default remote for their outputs; run: dvc remote "
        "add --default NAME URL (or set share: null)."
    )
    new.dvc("remote", "add", "--default", "store", "/nowhere")
    (fault,) = (line for line in faults() if "share names" in line)
    assert fault.startswith("infra/stages.yaml: git has no remote 'origin', which share names;")
    Path("infra/stages.yaml").write_text("share: {dvc: stor}\n")
    assert "infra/stages.yaml: DVC has no remote 'stor', which share names; did you mean 'store'?" in faults()
    Path("infra/stages.yaml").write_text("share: null\n")
    assert not [line for line in faults() if "share" in line]
