"""The flow that deployments run as `finetune`: in a worktree of its own, kept as a DVC experiment of the run's name."""

import json
from collections.abc import Callable
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.bridge import save
from flows.finetune import RUNNER, carry_out
from flows.params.form import UNCHANGED, Form, changed_settings
from flows.params.model import change
from flows.plan.machine import LOCKED
from flows.plan.preflight import check_stage_settings, quick
from flows.results import artifacts, durations, pages
from flows.results.decision import sentence
from flows.run.elsewhere import Elsewhere
from flows.run.heartbeat import beating
from flows.run.policies import operation
from flows.run.pruning import STOPPED, PruningRule
from flows.run.run import Run
from flows.server.logs import log_failures_once
from flows.server.retry import retry
from flows.system.environment import environment
from flows.worktree import remotes
from flows.worktree.worktree import home, label, workspace
from flows.worktree.zombies import claim_flow_run, reap
from tasks.core.errors import TemperError, Unavailable
from tasks.core.paths import PATHS, Paths
from tasks.core.temporary import temporary_files


@flow(name="finetune", task_runner=RUNNER)
def deployed(
    settings: Form = UNCHANGED,
    revision: str = "HEAD",
    force: list[str] | None = None,
    jobs: int | None = None,
    pruning: PruningRule | None = None,
) -> State[dict[str, Any]]:
    """Make every stage current in a checkout of this run's own, and save what came out as a DVC experiment.

    Args:
        settings: Put over the params.yaml of the revision; what is not given stays as it is there.
        revision: The commit, branch, tag or experiment to start from.
        force: Stages to run even where nothing changed.
        jobs: Stages that run at once, at most; by default what cores, memory and graphics card allow.
        pruning: When the training is not worth its end; set by sweeps.
    """
    return run_isolated(settings, revision, force or [], jobs, pruning)


def run_isolated(
    settings: dict[str, Any],
    revision: str,
    force: list[str],
    jobs: int | None = None,
    pruning: PruningRule | None = None,
    prepare: Callable[[], None] = lambda: None,
    conclude: Callable[[str], None] = lambda commit: None,
) -> State[dict[str, Any]]:
    """What the flow does, for the flow run that calls; a run that was given up ends *Stopped*.

    In the worktree, `prepare` is called before the stages, `conclude` after them, with the experiment's commit.
    """
    log_failures_once()
    try:
        with beating():
            return _run(settings, revision, force, jobs, pruning, prepare, conclude)
    except TemperError as error:
        get_run_logger().error("%s", error, exc_info=error)
        return Failed(message=str(error), data=error)


def _run(
    settings: dict[str, Any],
    revision: str,
    force: list[str],
    jobs: int | None,
    pruning: PruningRule | None,
    prepare: Callable[[], None],
    conclude: Callable[[str], None],
) -> State[dict[str, Any]]:
    log, name = get_run_logger(), label(flow_run.name or "run")
    claim_flow_run()
    reap(log.info)
    policies = operation(Paths(home()).policies)  # of the checkout, not the revision: it is about this machine
    share = policies.share
    checkout = workspace(name, remotes.find(revision, share), log.info, remote=share.dvc if share else None)
    # temporary files not in its worker's folder, which may go while the run goes on
    with temporary_files(Paths(home())), checkout as baseline:
        log.info("%s: worktree of %s", name, baseline[:12])
        for line in change([], values=changed_settings(settings)):
            log.info("%s: %s", PATHS.params, line)
        prepare()
        quick()
        check_stage_settings(home())
        if share:
            remotes.check(share)
            log.info("asking the remote which stages others have run")
            remotes.fetch(share, log.warning)
        lacks = (
            f"in neither git nor DVC at {baseline[:12]}, so a run on another machine cannot get it; in the project's "
            "folder, run: temper data add FILE"
        )
        machines = Elsewhere(share, log.info) if share else None
        run = carry_out(force, jobs, policies, pruning, lacks=lacks, elsewhere=machines)
        saved = "" if run.failed else save(name, baseline, _message(name, run))
        retry(lambda: artifacts.publish(run, name, name if saved else "", home()))
        if run.pruned:
            return Failed(name=STOPPED, message=run.pruned)
        run.check()
        log.info("saved as experiment %s (%s)", name, saved[:12])
        conclude(saved)
        if share:
            log.info("pushing outputs and the experiment to the remotes")
            try:
                remotes.push(name, share, log.warning)
            except Unavailable as error:
                return Failed(name="NotShared", message=str(error))
        facts = {"experiment": name, "commit": saved, "stages": {one: out.how for one, out in run.outcomes.items()}}
        message = "\n".join(filter(None, [f"experiment {name}: {_counted(run)}", sentence()]))
    return Completed(message=message, data=facts)


def _message(name: str, run: Run) -> str:
    """The commit message of the experiment: where to look at its run, on what it was made, and how long that took."""
    lines = [f"Run {name}", "", f"Flow-Run: {flow_run.id}", f"Environment: {json.dumps(environment(LOCKED))}"]
    lines.append(durations.trailer(run.outcomes))
    if page := pages.address():
        lines.insert(2, f"Page: {page}")
    return "\n".join(lines)


def _counted(run: Run) -> str:
    hows = [outcome.how for outcome in run.outcomes.values()]
    return ", ".join(f"{hows.count(how)} {how}" for how in ("ran", "restored", "unchanged") if how in hows)
