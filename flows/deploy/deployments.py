"""Deployments as code: infra/prefect.yaml to the server, workers that carry them out, and runs started by hand."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from flows.server.connect import QUIET, answers
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS
from tasks.core.progress import reporter
from tasks.core.settings import read

POOL = "temper"

STAGES_POOL = "temper-stages"
"""The pool whose queues have single stages, for workers that have what these need. Nothing there waits for others."""

PATIENT = {
    "PREFECT_CLIENT_MAX_RETRIES": "6",  # two minutes for a server that is started again
    "PREFECT_WORKER_QUERY_SECONDS": "2",  # until a queued run is seen; Prefect's own: 10
}
"""For workers and the runs that they carry out; what the user set stays."""


class Refused(MachineError):
    """The server does not take the parameters of a run."""


def server(**more: str) -> str:
    """The API of the server that this command talks to; raises `MachineError` where none answers.

    `more` comes into the environment, before what is usual there, where the user set nothing.
    """
    from flows.server import connect as servers

    for name, value in (QUIET | more).items():
        os.environ.setdefault(name, value)
    url = os.environ.setdefault("PREFECT_API_URL", servers.address())
    if not answers(url):
        raise MachineError(f"no Prefect server answers at {url}; start one with `temper ui`, or set PREFECT_API_URL.")
    servers.admitted(url)
    return url


def deploy() -> None:
    """Create the work pool where it is missing, then every deployment of infra/prefect.yaml, its triggers included."""
    if not PATHS.deployments.is_file():
        raise MachineError(f"{PATHS.deployments} is missing: it defines what is deployed; restore it from git.")
    report = reporter("deploy", 3, "steps")
    report(0)
    _pool(POOL)
    _pool(STAGES_POOL)
    report(1)
    command = ["-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(PATHS.deployments)]
    environment = _environment()
    del environment["TEMPER_PROJECT"]  # else the deployments would name this folder, where each worker has its own
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        last = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).splitlines()[-12:])
        raise MachineError(f"Prefect rejects {PATHS.deployments}:\n{last}")
    report(2)
    _limit_queues()
    report(3)


def schedules() -> list[str]:
    """The active schedules of infra/prefect.yaml, such as "cron 0 3 * * * UTC"."""
    return [
        " ".join(f"{key} {value}" for key in ("cron", "interval", "rrule", "timezone") if (value := one.get(key)))
        for deployment in read(PATHS.deployments, "safe")["deployments"]
        for one in deployment.get("schedules") or ()
        if one.get("active", True)
    ]


def work(limit: int | None, queues: Sequence[str] = ()) -> None:
    """Become a worker that carries out runs in this project's folder, `limit` at once. Does not return.

    With `queues` it carries out, instead of whole runs, the stages of these queues, for runs of any machine.
    """
    pool = STAGES_POOL if queues else POOL
    _pool(pool)
    for queue in queues:
        _queue(queue, pool)
    os.environ.update(_environment())
    # Prefect turns SIGTERM into SIGINT, which shells have what they start in the background ignore
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    more = ["--limit", str(limit)] if limit else []
    more += [word for queue in queues for word in ("--work-queue", queue)]
    command = ["-m", "flows.deploy.worker", "worker", "start", "--pool", pool, "--type", "process", *more]
    os.execv(sys.executable, [sys.executable, *command])


def start(deployment: str, parameters: dict[str, Any]) -> tuple[str, str]:
    """Queue a run of `deployment` ("finetune/temper"); return its name and its id.

    Raises `MachineError` where there is no such deployment, and `Refused` where the server rejects the parameters.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import FlowRun
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    from flows.server.retry import retry

    def ask() -> FlowRun:
        with get_client(sync_client=True) as client:
            target = client.read_deployment_by_name(deployment)
            return client.create_flow_run_from_deployment(target.id, parameters=parameters)

    try:
        run = retry(ask)
    except ObjectNotFound:
        raise MachineError(f"the server has no deployment {deployment}; run: temper deploy") from None
    except PrefectHTTPStatusError as error:
        raise Refused(f"the server refuses these parameters: {_detail(error.response)}") from None
    return run.name, str(run.id)


def at_work(pool: str = POOL) -> bool:
    """Whether a worker lately asked for runs of a work pool; of one that nobody made yet, none did."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            return client.read_work_pool(pool).status == "READY"
        except ObjectNotFound:
            return False


def served(queue: str, pool: str = STAGES_POOL) -> bool:
    """Whether a worker asked lately for runs of a work queue; of one that nobody made yet, none did."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            return client.read_work_queue_by_name(queue, pool).status == "READY"
        except ObjectNotFound:
            return False


def _queue(name: str, pool: str) -> None:
    """Create a work queue of `pool` where it is missing."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_queue(name, work_pool_name=pool)


def _pool(name: str) -> None:
    """Create a work pool where it is missing; an existing one keeps all but what its jobs may name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    from flows.deploy.worker import template

    with get_client(sync_client=True) as client:
        try:
            pool = client.read_work_pool(name)
            if pool.type == "process" and pool.base_job_template != template():
                client.update_work_pool(name, WorkPoolUpdate(base_job_template=template()))
        except ObjectNotFound:
            try:
                client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template()))
            except ObjectAlreadyExists:
                return  # another worker was first


def _limit_queues() -> None:
    """Let a server hand out, of each queue that a deployment has for itself, hardly more runs than may run at once.

    A deployment's limit alone has workers take all that are queued, and be refused again and again. One more than the
    limit is handed out: where processes died that the server takes for running, it comes in when their slots expire.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for deployment in read(PATHS.deployments, "safe")["deployments"]:
            pool, limited = deployment["work_pool"], deployment.get("concurrency_limit")
            if limited and "work_queue_name" in pool:
                queue = client.read_work_queue_by_name(pool["work_queue_name"], pool["name"])
                most = limited["limit"] if isinstance(limited, dict) else limited
                client.update_work_queue(queue.id, concurrency_limit=most + 1)


def _environment() -> dict[str, str]:
    """For processes of Prefect that work in this folder: they are this very Python with this package, in any folder."""
    package = str(Path(__file__).resolve().parents[2])
    first = {"PYTHONPATH": package, "PATH": str(Path(sys.executable).parent)}
    paths = {name: os.pathsep.join(filter(None, [folder, os.environ.get(name)])) for name, folder in first.items()}
    return {**os.environ, **paths, "TEMPER_PROJECT": str(Path.cwd())}


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json().get("detail", response.text))
    except ValueError:
        return response.text
