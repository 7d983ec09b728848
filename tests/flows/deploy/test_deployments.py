"""Deployments on a real server with a real worker: by hand, by event, by schedule, two at once, and cancelled."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.schemas.schedules import IntervalSchedule

from tests.flows.project import BELOW_TRAIN, STAGES, until
from tests.flows.site import SECRET, Site

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]  # a server, a worker, and runs that each start Python anew


def test_a_form_run_with_changed_parameters_gives_the_right_experiment(site: Site) -> None:
    name = site.start("train.learning_rate=1e-4")
    assert site.ended(name) == "Completed", site.logs(site.run(name).id)
    assert site.parameter(name, "learning_rate") == 1e-4
    stages = site.stages(name)
    assert set(stages) == STAGES
    assert {stage for stage, state in stages.items() if state == "Completed"} == BELOW_TRAIN
    assert f"experiment {name}: 9 ran, 3 restored" in str(site.run(name).state)
    assert site.left() == []
    texts = [site.logs(site.run(name).id), site.toy.call("git", "log", "--all", "--patch")]
    texts += [artifact.model_dump_json() for artifact in site.client.read_artifacts()]
    assert any(name in text for text in texts)
    assert not any(SECRET in text for text in texts)  # the worker has it in its environment


def test_the_form_is_typed_and_wrong_values_never_start(site: Site) -> None:
    deployment = site.client.read_deployment_by_name("finetune/temper")
    schema = deployment.parameter_openapi_schema or {}
    text = json.dumps(schema)
    assert '"learning_rate"' in text
    assert "$ref" not in json.dumps(schema["properties"]["settings"])
    before = len(site.client.read_flow_runs())
    for change, fault in (
        ("train.learning_rate=-1", "train.learning_rate = -1"),
        ("train.learning_rat=1", "did you mean 'learning_rate'?"),
        ("train.steps=many", "many"),
    ):
        started = site.toy.temper("start", "--set", change)
        stderr = started.communicate()[1]
        assert started.returncode == 1
        assert stderr.startswith("temper start: params.yaml (as it would be)")
        assert fault in stderr
    assert len(site.client.read_flow_runs()) == before


def test_new_data_start_a_run_at_their_commit(site: Site) -> None:
    before = {run.id for run in site.client.read_flow_runs()}
    (site.toy.path / "data/more").mkdir()
    (site.toy.path / "data/more/rows.txt").write_text("a\n")
    output = site.toy.command("data", "add", "data/more/rows.txt")
    revision = site.toy.call("git", "rev-parse", "HEAD").strip()
    assert f"Tracked and committed as {revision[:12]}" in output
    assert "Still processing" not in output, "a warning of Prefect's about the one event that is on its way"
    assert (site.toy.path / "data/more/rows.txt.dvc").exists()
    run = until(lambda: next((run for run in site.client.read_flow_runs() if run.id not in before), None))
    assert run.parameters["revision"] == revision
    assert site.ended(run.name) == "Completed"
    assert set(site.stages(run.name).values()) == {"Cached"}
    assert "Nothing changed" in site.toy.command("data", "add", "data/more/rows.txt")


def test_a_schedule_fires_and_its_run_is_reproduced_stage_by_stage(site: Site) -> None:
    deployment = site.client.read_deployment_by_name("finetune/temper")
    assert [getattr(item.schedule, "cron", "") for item in deployment.schedules] == ["0 3 * * *"]
    before = {run.id for run in site.client.read_flow_runs()}
    soon = IntervalSchedule(interval=timedelta(seconds=30), timezone="UTC")
    schedules: list[Any] = [(soon, True)]
    (added,) = site.client.create_deployment_schedules(deployment.id, schedules)
    run = until(
        lambda: next(
            (
                run
                for run in site.client.read_flow_runs()
                if run.id not in before and run.auto_scheduled and run.start_time
            ),
            None,
        )
    )
    site.client.delete_deployment_schedule(deployment.id, added.id)
    assert site.ended(run.name) == "Completed"
    output = site.toy.command("reproduce", run.name)
    assert output.count("  identical") == len(STAGES)
    assert f"All {len(STAGES)} stages of {run.name} are identical." in output
    assert not [path for path in site.left() if path.name.startswith("reproduce")]


@pytest.mark.timeout(3000)
def test_ten_runs_queued_at_once_finish_two_at_a_time_and_none_is_mixed(site: Site) -> None:
    assert site.client.read_work_queue_by_name("finetune", "temper").concurrency_limit == 3
    rates = [f"{number}e-5" for number in range(1, 11)]
    names = [site.queue(f"train.learning_rate={rate}") for rate in rates]
    ended = {name: site.ended(name) for name in names}
    assert set(ended.values()) == {"Completed"}, [
        site.logs(site.run(name).id) for name, state in ended.items() if state != "Completed"
    ]
    assert [site.parameter(name, "learning_rate") for name in names] == [float(rate) for rate in rates]
    locks = {site.toy.call("git", "show", f"{site.experiment(name)}:dvc.lock") for name in names}
    assert len(locks) == len(names)
    runs = [site.run(name) for name in names]
    for run in runs:
        assert run.start_time
        assert run.end_time
        beside = [one for one in runs if one.start_time <= run.start_time < one.end_time]  # type: ignore[operator]
        assert len(beside) <= 2, [one.name for one in beside]
    until(lambda: not site.left())


def test_a_cancelled_run_ends_its_stages_and_leaves_the_lock_alone(site: Site, held: Callable[[str], Path]) -> None:
    from prefect.states import Cancelling

    before = site.toy.lock
    held("train")
    name = site.start("train.learning_rate=7e-4")
    stage = psutil.Process(site.toy.held("train"))
    cancelled = time.monotonic()
    site.client.set_flow_run_state(site.run(name).id, Cancelling())
    until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    taken = time.monotonic() - cancelled
    assert site.ended(name) == "Cancelled"
    until(lambda: not site.left())
    assert site.toy.lock == before
    assert site.experiment(name) == ""
    assert taken < 60, "within 10 s on quiet cores"


def test_a_failed_run_says_what_to_do(site: Site) -> None:
    gate = site.toy.gate / "fail-merge"
    gate.touch()
    name = site.start("train.learning_rate=8e-4")
    assert site.ended(name) == "Failed"
    gate.unlink()
    assert "merge: the toy was told to fail." in str(site.run(name).state)
    assert "Remove " in str(site.run(name).state)
    assert site.experiment(name) == ""
    until(lambda: not site.processes(name))  # its last lines come when it ends
    logs = site.logs(site.run(name).id)
    assert "Finished in state Failed" in logs
    assert "Traceback" not in logs
    assert "NoneType" not in logs
    assert logs.count("\nmerge: the toy was told to fail.") == 2, logs  # of the stage, and of the run
