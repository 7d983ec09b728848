"""What a worker carries out of what the server says: the flows of infra/prefect.yaml, and no command of anybody's."""

import asyncio
import importlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Cancelling, Completed, Failed, Running
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from flows.deploy.worker import COMMAND, Job, Worker, deployment_fault, ending, template
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS
from tasks.core.settings import read
from tests.flows.project import ROOT, until
from tests.flows.site import Site


def steps(folder: str) -> list[dict[str, Any]]:
    return [{"prefect.deployments.steps.set_working_directory": {"directory": folder}}]


STEPS = steps("{{ $TEMPER_PROJECT }}")
SHELL = [{"prefect.deployments.steps.run_shell_script": {"script": "touch x"}}, *STEPS]

ALLOWED: list[dict[str, Any]] = [
    {},
    {"env": {"OMP_NUM_THREADS": "2"}},
    {"command": COMMAND},
    {"command": ""},
    {"stream_output": False, "name": "x", "labels": {"a": "b"}},
]
REFUSED: list[dict[str, Any]] = [
    {"command": "touch x"},
    {"command": f"{COMMAND}; touch x"},
    {"working_dir": "/tmp"},
    *(
        {"env": {name: "x"}}
        for name in ("PATH", "PYTHONPATH", "LD_PRELOAD", "PREFECT_API_URL", "TEMPER_PROJECT", "GIT_SSH_COMMAND", "x")
    ),
    {"env": {"OMP_NUM_THREADS": "2", "PYTHONSTARTUP": "x.py"}},
]


async def resolved(run: dict[str, Any], deployment: dict[str, Any], pool: dict[str, Any], **more: Any) -> Job:
    """The job of a run as a worker has it, with job variables of run, deployment and pool."""
    async with get_client() as client:
        name = f"pool-{uuid4()}"
        template = ProcessWorker.get_default_base_job_template()
        for key, value in pool.items():
            template["variables"]["properties"][key]["default"] = value
        work_pool = await client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
        flow = await client.create_flow_from_name("finetune")
        what = {"entrypoint": "flows.deployed.deployed", "pull_steps": STEPS} | more
        entry = await client.create_deployment(flow, name, work_pool_name=name, job_variables=deployment, **what)
        flow_run = await client.create_flow_run_from_deployment(entry, job_variables=run)
        job: Job = await Job.resolve_for_flow_run(flow_run, client=client, work_pool=work_pool, worker_name="w")
        return job


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    monkeypatch.chdir(ROOT)


def at(place: int, variables: dict[str, Any]) -> list[dict[str, Any]]:
    return [variables if index == place else {} for index in range(3)]


@pytest.mark.parametrize(("place", "most"), [(0, None), (1, 4), (2, 4)], ids=["run", "deployment", "pool"])
@pytest.mark.usefixtures("project")
def test_job_variables(place: int, most: int | None) -> None:
    """All of them of a run; of the other places `most`, for the question there is whether they are looked at."""
    for variables in ALLOWED[:most]:
        job = asyncio.run(resolved(*at(place, variables)))
        assert job.command == COMMAND
        assert job.working_dir is None
    for variables in REFUSED[:most]:
        with pytest.raises(MachineError, match=r"this worker does not run '.*': its job variables"):
            asyncio.run(resolved(*at(place, variables)))


@pytest.mark.usefixtures("project")
def test_flows_and_steps() -> None:
    refused: tuple[dict[str, Any], ...] = (
        {"entrypoint": "evil.flow"},
        {"entrypoint": "../evil.py:flow"},
        {"entrypoint": None},
        {"pull_steps": SHELL},
        {"pull_steps": []},
        {"entrypoint": "flows.sweep.sweep", "pull_steps": [{"prefect.deployments.steps.set_working_directory": {}}]},
    )
    for more in refused:
        with pytest.raises(MachineError, match=r": temper deploy$"):
            asyncio.run(resolved({}, {}, {}, **more))
    asyncio.run(resolved({}, {}, {}, entrypoint="flows.retrain.retrain"))
    asyncio.run(resolved({}, {}, {}, pull_steps=steps(str(ROOT))))
    for folder in ("/tmp", f"{ROOT}/tests", f"{ROOT}/"):
        with pytest.raises(MachineError, match=r": temper deploy$"):
            asyncio.run(resolved({}, {}, {}, pull_steps=steps(folder)))
    assert "no deployment" in deployment_fault(None, {"deployments": []}, ROOT)


def test_a_pool_offers_nothing_that_names_a_command() -> None:
    assert set(template()["variables"]["properties"]) == {"name", "labels", "stream_output"}
    assert template()["job_configuration"]["command"] == COMMAND
    assert not {"env", "working_dir"} & set(template()["job_configuration"])


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_worker_that_was_started_to_ignore_ctrl_c_ends_by_one_sigterm(site: Site) -> None:
    """As shells start what runs in the background, and `nohup` what is to stay."""
    worker = site.hire(under=("/bin/sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh"))
    worker.terminate()
    assert worker.wait(300) in {0, 128 + signal.SIGTERM, -signal.SIGTERM}


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (Failed(message="git has no revision 'nosuch' here."), "failed: git has no revision 'nosuch' here."),
        (Completed(message="experiment x: 9 ran\nDecision: y"), "completed: experiment x: 9 ran; Decision: y"),
        (Cancelled(), "cancelled"),
        (Running(), "its process has ended; to the server it is Running"),
        (None, "its process has ended; the Prefect server does not answer"),
    ],
)
def test_the_line_of_an_end_has_state_and_reason(state: State[Any] | None, line: str) -> None:
    assert ending(state) == line


def test_prefect_takes_our_worker_for_its_own() -> None:
    assert BaseWorker.get_worker_class_from_type("process") is Worker


def test_no_flow_has_hooks_that_a_worker_would_run() -> None:
    for one in read(ROOT / PATHS.deployments, "safe")["deployments"]:
        module, _, name = one["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        assert not flow.on_cancellation_hooks
        assert not flow.on_crashed_hooks


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_worker_says_what_it_begins_and_how_it_ended(site: Site, held: Callable[[str], Path]) -> None:
    failed = site.toy.command("start", "--revision", "nosuch").split("Queued as ")[1].split()[0]
    assert site.ended(failed) == "Failed"
    held("train")
    cancelled = site.start("train.learning_rate=7.5e-4")
    site.toy.held("train")
    site.client.set_flow_run_state(site.run(cancelled).id, Cancelling())
    assert site.ended(cancelled) == "Cancelled"
    log = site.toy.path.parent / "worker.log"
    until(lambda: f"\n{cancelled}: cancelled" in log.read_text())
    lines = log.read_text().splitlines()
    assert f"{failed}: started" in lines
    assert any(line.startswith(f"{failed}: failed: git has no revision 'nosuch'") for line in lines)
    assert f"{cancelled}: started" in lines
    # the worker does not load its flow again
    assert site.logs(site.run(cancelled).id).count("deployment pull step(s)") == 1


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_run_that_ctrl_c_caught_before_it_began_ends_crashed(site: Site) -> None:
    """Ctrl-C goes to the worker and to what it started; who had died is named by the next worker."""
    site.dismiss()
    site.worker = site.hire(under=("setsid",))
    log = site.toy.path.parent / "worker.log"
    name = site.queue("train.learning_rate=7.6e-4")
    until(lambda: f"{name}: started" in log.read_text())
    until(lambda: site.run(name).infrastructure_pid)
    os.killpg(site.worker.pid, signal.SIGINT)
    site.worker.wait(300)
    until(lambda: not site.processes(name))
    site.worker = site.hire()
    assert site.ended(name) == "Crashed"


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_run_with_a_command_of_its_own_crashes_before_it_is_run(site: Site) -> None:
    """What a stranger would queue who had the password; the pool's template of older versions is put right."""
    from prefect.client.schemas.actions import WorkPoolUpdate

    assert site.client.read_work_pool("temper").base_job_template == template()
    old = WorkPoolUpdate(base_job_template=ProcessWorker.get_default_base_job_template())
    site.client.update_work_pool("temper", old)
    trace = site.toy.path.parent / "trace"
    deployment = site.client.read_deployment_by_name("finetune/temper")
    run = site.client.create_flow_run_from_deployment(deployment.id, job_variables={"command": f"touch {trace}"})
    assert site.ended(run.name) == "Crashed"
    assert "its job variables name a command" in str(site.run(run.name).state)
    assert not trace.exists()
    log = site.toy.path.parent / "worker.log"
    until(lambda: f"\n{run.name}: crashed: its job variables name a command" in log.read_text())
    site.toy.command("deploy")
    assert site.client.read_work_pool("temper").base_job_template == template()
