"""`python -m flows.deploy.worker worker start ...`: Prefect's worker, which carries out the project's flows only.

To Prefect a queued run is a command in an environment: the pool, the deployment and the run itself may each name them,
and a deployment may name commands to run before. So whoever can write to the server could run anything on every
worker's machine. This worker takes none of it from the server: flows and steps are those that infra/prefect.yaml of its
own folder names, and the command is one. It prints a line when a run begins, and one when it ends.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from flows.server.prefect_private import command_line, without_hooks
from flows.worktree.zombies import reserve_flow_run, reserving
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS
from tasks.core.settings import read

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.schemas.objects import Flow, FlowRun, State, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

COMMAND = "python -m prefect.engine"
"""One interpreter a run: without a command Prefect starts another one before it, only for the steps."""

VARIABLES = {"CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HUB_OFFLINE"}
"""What the server may set in the environment of a run: nothing that names a file, a program or an address."""

FOLDER = "{{ $TEMPER_PROJECT }}"
"""In infra/prefect.yaml, the folder that a worker was started in."""

OFFERED = ("name", "labels", "stream_output")
"""Job variables that a pool of temper's offers."""


def template() -> dict[str, Any]:
    """Prefect's template of the pool's jobs without what names commands, folders and environments."""
    whole = ProcessWorker.get_default_base_job_template()
    properties = {name: value for name, value in whole["variables"]["properties"].items() if name in OFFERED}
    jobs = {name: f"{{{{ {name} }}}}" for name in OFFERED}
    return {"job_configuration": jobs | {"command": COMMAND}, "variables": {"type": "object", "properties": properties}}


class Job(ProcessJobConfiguration):
    """What a run is to Prefect's worker, refused where the server says anything but which of the flows runs."""

    def prepare_for_flow_run(
        self,
        flow_run: "FlowRun",
        deployment: "DeploymentResponse | None" = None,
        flow: "Flow | None" = None,
        work_pool: "WorkPool | None" = None,
        worker_name: str | None = None,
        worker_id: "UUID | None" = None,
    ) -> None:
        """Called by Prefect before it starts anything; raises `MachineError`, by which the run ends *Crashed*."""
        reserve_flow_run(flow_run)
        if fault := self._fault() or deployment_fault(deployment, read(PATHS.deployments, "safe"), Path.cwd()):
            print(f"{flow_run.name}: crashed: {fault}", flush=True)
            raise MachineError(f"this worker does not run '{flow_run.name}': {fault}")
        self.command = COMMAND
        super().prepare_for_flow_run(flow_run, deployment, flow, work_pool, worker_name, worker_id)

    def _fault(self) -> str:
        """What of pool, deployment or run, which Prefect has put over each other here, names more than a flow."""
        if self.command not in {None, COMMAND}:
            return f"its job variables name a command, {self.command!r}; remove it."
        if self.working_dir is not None:
            return f"its job variables name a folder, {str(self.working_dir)!r}; take working_dir out."
        if names := sorted(set(self.env) - VARIABLES):
            return f"its job variables set {', '.join(names)} in its environment; set it where the worker starts."
        return ""


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it takes the place of Prefect's own, which is what it is for

    class Worker(ProcessWorker):
        """Prefect's worker of the type `process`, which says what it does."""

        job_configuration = Job

        async def run(
            self,
            flow_run: "FlowRun",
            configuration: ProcessJobConfiguration,
            task_status: Any = None,
        ) -> ProcessWorkerResult:
            """Called by Prefect to carry out a run; returns when its process has ended."""
            print(f"{flow_run.name}: started", flush=True)
            try:
                result = await super().run(flow_run, configuration, _Begun(flow_run, task_status))
            except Exception:
                await self._say_end(flow_run)
                raise
            await self._say_end(flow_run)
            return result

        async def _say_end(self, flow_run: "FlowRun") -> None:
            try:
                state = (await self.client.read_flow_run(flow_run.id)).state
            except httpx.HTTPError:
                state = None
            print(f"{flow_run.name}: {ending(state)}", flush=True)


class _Begun:
    """Notes which process carries out a run, and passes its number on to Prefect."""

    def __init__(self, flow_run: "FlowRun", status: Any) -> None:
        self._flow_run = flow_run
        self._status = status

    def started(self, value: int | None = None) -> None:
        reserve_flow_run(self._flow_run, value)
        if self._status is not None and value is not None:
            self._status.started(value)


def ending(state: "State[Any] | None") -> str:
    """How a run has ended, in a line: its state, and the reason or the result."""
    if state is None:
        return "its process has ended; the Prefect server does not answer"
    if not state.is_final():
        return f"its process has ended; to the server it is {state.name}"
    return ": ".join(filter(None, [str(state.name).lower(), "; ".join((state.message or "").splitlines())]))


def deployment_fault(deployment: "DeploymentResponse | None", file: Mapping[str, Any], folder: Path) -> str:
    """What a deployment names that `file`, infra/prefect.yaml in `folder`, does not; "" for nothing."""
    here = json.dumps(str(folder))[1:-1]  # for the variable, as `temper deploy` puts it there
    if deployment is None:
        return "it belongs to no deployment; queue it with: temper start"
    steps = {one["entrypoint"]: one.get("pull", file.get("pull")) for one in file["deployments"]}
    if deployment.entrypoint not in steps:
        return f"{PATHS.deployments} has no flow {deployment.entrypoint!r}; add it there, and run: temper deploy"
    named = steps[deployment.entrypoint] or []
    if (deployment.pull_steps or []) not in (named, json.loads(json.dumps(named).replace(FOLDER, here))):
        return f"its deployment has other steps than {PATHS.deployments} in {folder}; run there: temper deploy"
    return ""


if __name__ == "__main__":
    without_hooks()
    with reserving():
        command_line()
