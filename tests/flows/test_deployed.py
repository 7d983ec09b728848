"""Runs in worktrees of their own, kept as experiments: what DVC knows of them, and what is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

from flows.bridge import find
from flows.params.form import changed_settings, form
from flows.params.model import model
from flows.worktree import worktree as rooms
from flows.worktree.worktree import label, recover, workspace
from flows.worktree.zombies import reap
from tasks.core.errors import Busy, InputError, MachineError, SettingsError, StageFailed
from tasks.core.paths import PATHS, Paths
from tasks.core.settings import load
from tests.flows.project import BELOW_TRAIN, STAGES, Toy, until

pytestmark = pytest.mark.usefixtures("stages_asked_here")

PROGRAM = "from flows.deployed import deployed; deployed(settings={'train': {'learning_rate': 1e-4}})"


def isolated(**options: Any) -> dict[str, Any]:
    from flows.deployed import deployed

    facts: Any = deployed(**options)
    return dict(facts)


def worktrees(toy: Toy) -> list[str]:
    return [line for line in toy.call("git", "worktree", "list").splitlines() if str(PATHS.worktrees) in line]


def clean(toy: Toy) -> bool:
    """Whether nothing of any run is left in the checkout, and it is as it was."""
    left = [*Paths(toy.path).worktrees.glob("*"), *(toy.path / ".dvc/cache/running").glob("*")]
    return not left and not worktrees(toy) and not toy.call("git", "status", "--porcelain")


def test_a_run_becomes_an_experiment_and_leaves_nothing_behind(toy: Toy) -> None:
    before = toy.lock
    facts = isolated(settings={"train": {"learning_rate": 1e-4}})
    name = facts["experiment"]
    assert {stage for stage, how in facts["stages"].items() if how == "ran"} == BELOW_TRAIN
    assert clean(toy)
    assert toy.lock == before

    shown = json.loads(toy.dvc("exp", "show", "--json"))
    mine = next(one for one in shown[1]["experiments"] or shown[0]["experiments"] if one["name"] == name)
    data = mine["revs"][0]["data"]
    assert data["params"]["params.yaml"]["data"]["train"]["learning_rate"] == 1e-4
    assert "data/report/comparison.json" in data["metrics"]
    assert "Environment: {" in toy.call("git", "log", "-1", "--format=%B", find(name))

    toy.dvc("exp", "apply", name)
    assert "up to date" in toy.dvc("status")
    assert Path("data/trained/weights.txt").exists()
    assert set(toy.flow().values()) == {"unchanged"}


@pytest.mark.long
def test_a_run_is_shared_and_where_the_remote_is_away_it_is_kept(toy: Toy, tmp_path: Path) -> None:
    from flows.deployed import deployed

    origin, away = tmp_path / "origin", tmp_path / "away"
    toy.call("git", "clone", "--quiet", "--bare", str(toy.path), str(origin))
    toy.call("git", "remote", "add", "origin", str(origin))
    toy.dvc("remote", "add", "--default", "store", str(away / "store"))
    Path("infra").mkdir()
    Path("infra/stages.yaml").write_text("share: {retries: 0}\n")
    toy.call("git", "add", "--all")
    toy.call("git", "commit", "--quiet", "--message", "remote")
    toy.call("git", "push", "--quiet", "origin", "HEAD")
    away.write_text("not a folder")
    state: Any = deployed(settings={"train": {"learning_rate": 1e-4}}, return_state=True)
    assert state.name == "NotShared"
    kept = state.message.split("the experiment ")[1].split()[0]
    assert f"When the remote answers: dvc exp push --run-cache origin {kept}" in state.message
    assert find(kept)
    assert toy.call("git", "ls-remote", str(origin), f"refs/exps/*/{kept}") == ""

    away.unlink()
    facts = isolated(settings={"train": {"learning_rate": 1e-4}})
    assert "ran" not in facts["stages"].values()
    toy.call("git", "clone", "--quiet", str(origin), str(tmp_path / "clone"))
    clone = Toy(tmp_path / "clone", toy.environment["PREFECT_API_URL"])
    clone.dvc("exp", "pull", "origin", facts["experiment"])
    clone.dvc("exp", "apply", facts["experiment"])
    assert "learning_rate: 0.0001" in clone.lock.decode()
    assert (clone.path / "data/trained/weights.txt").exists()


def test_a_failed_run_keeps_what_finished_but_is_no_experiment(toy: Toy) -> None:
    gate = toy.gate / "fail-merge"
    gate.touch()
    with pytest.raises(StageFailed, match="merge: the toy was told to fail"):
        isolated(settings={"train": {"learning_rate": 1e-4}})
    assert toy.dvc("exp", "list").strip() == ""
    assert clean(toy)
    gate.unlink()
    stages = isolated(settings={"train": {"learning_rate": 1e-4}})["stages"]
    assert stages["train"] == "restored"
    assert stages["merge"] == "ran"


def test_what_only_lies_in_the_main_checkout_is_named(toy: Toy) -> None:
    toy.call("git", "rm", "--quiet", "-r", "--cached", "code")
    Path(".git/info/exclude").write_text("code\n")
    toy.call("git", "commit", "--quiet", "--message", "without")
    with pytest.raises(InputError, match=r"code \(for train\): in neither git nor DVC at \w+.*temper data add"):
        isolated()
    assert clean(toy)


@pytest.mark.long
def test_inputs_tracked_by_dvc_come_from_the_cache(toy: Toy) -> None:
    toy.call("git", "rm", "--quiet", "-r", "--cached", "code")
    toy.dvc("add", "code")
    toy.call("git", "add", "--all")
    toy.call("git", "commit", "--quiet", "--message", "tracked by DVC")
    assert set(isolated()["stages"].values()) == {"unchanged"} or toy.dvc("status")
    shutil.rmtree(".dvc/cache/files")
    with pytest.raises(MachineError, match=r"code: not in DVC's cache, and no remote is configured"):
        isolated()


@pytest.mark.long
def test_what_was_paid_for_is_not_paid_for_again(toy: Toy) -> None:
    paid = toy.gate / "paid"
    assert set(isolated()["stages"].values()) == {"restored"}
    assert not paid.exists()

    gate = toy.gate / "fail-train"
    gate.touch()
    with pytest.raises(StageFailed, match="train: the toy was told to fail"):
        isolated(settings={"generate": {"rows": 7}})
    assert len(paid.read_text().splitlines()) == 1
    gate.unlink()
    with Path("work.py").open("a") as program:  # generate runs again; what it needs stands in no experiment
        program.write("# changed\n")
    toy.call("git", "commit", "--quiet", "--all", "--message", "changed")
    facts = isolated(settings={"generate": {"rows": 7}})
    assert facts["stages"]["generate"] == "ran"
    assert len(paid.read_text().splitlines()) == 1
    assert isolated(settings={"generate": {"rows": 7}})["stages"]["generate"] == "restored"

    toy.dvc("exp", "apply", facts["experiment"])
    mine = Path("data/responses.jsonl").read_text()
    assert paid.read_text() in mine, "what was lent is on its own record"
    isolated(settings={"generate": {"rows": 8}})
    assert len(paid.read_text().splitlines()) == 2
    toy.call("git", "add", "--all")
    toy.call("git", "commit", "--quiet", "--message", "applied")
    toy.command("reproduce", "HEAD")  # from its own record, and no other
    assert len(paid.read_text().splitlines()) == 2


def test_a_record_that_is_lost_is_named(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    (kept,) = (path for path in Path(".dvc/cache").rglob("*") if path.is_file() and '"key"' in path.read_text())
    kept.chmod(0o644)
    kept.unlink()
    facts = isolated()
    assert facts["stages"]["generate"] == "ran"
    assert "data/responses.jsonl: in neither DVC's cache nor a remote; its responses will be requested" in caplog.text


def test_bad_settings_stop_it_before_anything_runs(toy: Toy) -> None:
    with pytest.raises(SettingsError, match=r"unknown key 'train.learning_rat'; did you mean 'learning_rate'"):
        isolated(settings={"train": {"learning_rat": 1e-4}})
    with pytest.raises(MachineError, match="git has no revision 'nowhere' here"):
        isolated(revision="nowhere")
    assert clean(toy)


@pytest.mark.long
def test_the_same_stage_in_two_worktrees_runs_once(toy: Toy) -> None:
    gate = toy.hold("train")
    runs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=toy.path, env=toy.admitted, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    toy.held("train")
    until(lambda: len(worktrees(toy)) == 2)
    gate.unlink()
    assert [run.wait() for run in runs] == [0, 0]
    assert (toy.gate / "count-train").read_text() == "x"
    assert clean(toy)


def test_what_died_is_removed_at_the_next_start_and_its_checkpoints_go_on(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = toy.hold("merge")
    run = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=toy.path, env=toy.admitted)
    stage = psutil.Process(toy.held("merge"))
    (worktree,) = [path for path in Paths(toy.path).worktrees.iterdir() if path.is_dir()]
    (worktree / "data/scratch/train-1").mkdir(parents=True)
    (worktree / "data/scratch/train-1/step").write_text("7")
    with get_client(sync_client=True) as client:
        with monkeypatch.context() as clock:  # set since the run began: the age of a process says nothing
            booted = psutil.boot_time() + 3600.0
            clock.setattr("psutil._pslinux.boot_time", lambda: booted)
            reap(lambda line: None)
        where = FlowRunFilter(name=FlowRunFilterName(any_=[worktree.name]))
        (dead,) = client.read_flow_runs(flow_run_filter=where)
        assert str(dead.state_name) == "Running"
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
        gate.unlink()
        assert not clean(toy)
        assert str(client.read_flow_run(dead.id).state_name) == "Running"  # nobody told the server
        reap(lambda line: None)
        assert str(client.read_flow_run(dead.id).state_name) == "Crashed"
    with workspace("next"):
        assert Path("data/scratch/train-1/step").read_text() == "7"
        assert [Path(line.split()[0]).name for line in worktrees(toy)] == ["next"]
    assert (Paths(toy.path).unfinished / "train-1/step").read_text() == "7"
    assert clean(toy)
    stages = isolated(settings={"train": {"learning_rate": 1e-4}})["stages"]
    assert (stages["train"], stages["merge"]) == ("restored", "ran")


def test_a_live_run_is_left_alone(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "PATIENCE", 0.0)
    with workspace("first"):
        worktree = Path.cwd()
        os.chdir(toy.path)
        assert recover() == []
        with pytest.raises(Busy, match="the run 'first' is already running"), workspace("first"):
            pass
        assert worktree.is_dir()
        (worktree / Paths().parts / "part").write_text("kept")
    assert clean(toy)
    with workspace("second"):
        assert (Paths().parts / "part").read_text() == "kept"
    with workspace("reproduce", anew=True):
        assert not Paths().parts.exists()
    assert (Paths(toy.path).parts / "part").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("amber-otter", "amber-otter"),
        ("a b/c:d", "a-b-c-d"),
        ("x..y.lock", "x-.y-lock"),
        ("../..", "run"),
        ("é", "run"),
    ],
)
def test_names_of_runs_as_names_of_refs(toy: Toy, name: str, safe: str) -> None:
    assert label(name) == safe
    toy.call("git", "check-ref-format", f"refs/exps/aa/bb/{safe}")


def test_of_a_form_counts_what_changes_the_meaning_of_params() -> None:
    params = Path(__file__).parents[2] / "params.yaml"
    metrics = [metric.model_dump(mode="json") for metric in load(model(), params).evaluate.metrics]
    assert len(metrics[0]) > 2
    rate = {"train": {"learning_rate": 0.00025, "lora": {"r": load(model(), params).train.lora.r}}}
    assert changed_settings({"evaluate": {"metrics": metrics}, **rate}, params) == {"train": {"learning_rate": 0.00025}}
    fewer = {"evaluate": {"metrics": [{**metrics[0], "timeout": 7}]}}
    assert changed_settings(fewer, params) == fewer
    assert changed_settings({"train": {"learning_rate": "quick"}}, params) == {"train": {"learning_rate": "quick"}}
    assert changed_settings({"no": 1}, params) == {"no": 1}


def test_the_form_has_every_key_with_the_values_of_params() -> None:
    schema = form(Path(__file__).parents[2] / "params.yaml")
    text = json.dumps(schema)
    assert '"$ref"' not in text
    assert '"required"' not in text
    rate = schema["properties"]["train"]["anyOf"][1]["properties"]["learning_rate"]
    assert rate["default"] == 0.005 or rate["default"] > 0
    assert rate["exclusiveMinimum"] == 0
    assert rate["description"]
    assert STAGES
