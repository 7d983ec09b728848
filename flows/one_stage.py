"""The flow `stage`: one stage of a run that another machine carries out, for this one has what the stage needs.

It works in a worktree of what was sent (flows/bridge/parcel.py), and pushes what it makes to the remotes of shared
runs, where the run that asked finds it by its inputs. An experiment is what the whole run becomes, not this part of it.
"""

from dataclasses import replace
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.bridge import stage_key, survey, unpack
from flows.run.heartbeat import beating
from flows.run.policies import operation
from flows.run.pruning import STOPPED, PruningRule
from flows.run.run import Run
from flows.server.logs import log_failures_once
from flows.worktree import remotes
from flows.worktree.worktree import home, label, workspace
from flows.worktree.zombies import claim_flow_run, reap
from tasks.core.errors import InputChanged, InputError, MachineError, StageFailed, TemperError, Unavailable
from tasks.core.paths import PATHS, Paths
from tasks.core.temporary import temporary_files


@flow(name="stage")
def one_stage(stage: str, commit: str, key: str, force: bool = False, pruning: PruningRule | None = None) -> State[Any]:
    """Make one stage current, for a run on another machine that waits for it.

    Args:
        stage: Its name, such as train or quantize@nf4.
        commit: What it reads, as the run sent it to the git remote.
        key: What identifies the stage with its inputs, in the run.
        force: Whether it runs even where the cache has its outputs.
        pruning: When a training is not worth its end; set by sweeps.
    """
    log_failures_once()
    try:
        with beating():
            return _run(stage, commit, key, force, pruning)
    except TemperError as error:
        get_run_logger().error("%s", error, exc_info=error)
        return Failed(message=str(error), data=error)


def _run(stage: str, commit: str, key: str, force: bool, pruning: PruningRule | None) -> State[Any]:
    log, name = get_run_logger(), label(flow_run.name or "stage")
    claim_flow_run()
    reap(log.info)
    policies = operation(Paths(home()).policies)
    if (share := policies.share) is None:
        raise MachineError(
            f"{PATHS.policies}: stages on other machines exchange data through remotes; also set share here."
        )
    remotes.check(share)
    revision = remotes.receive(commit, share)
    with temporary_files(Paths(home())), workspace(name, revision, log.info, remote=share.dvc):
        unpack(stage, share.dvc)
        statuses = [replace(status, after=()) for status in survey(log.warning) if status.name == stage]
        if not statuses:
            raise InputError(f"there is no stage {stage} at {commit[:12]}.")
        if stage_key(stage) != key:
            raise InputChanged(f"{stage} has other inputs here than in the run that requested it; nothing ran.")
        with Run(statuses, [stage] if force else [], operation=policies, pruning=pruning) as run:
            try:
                outcome = run.ensure_current(stage, log)
            except StageFailed:
                if run.pruned:
                    return Failed(name=STOPPED, message=run.pruned)
                raise
        log.info("pushing the outputs of %s to the remote", stage)
        try:
            remotes.push_stage(stage, share, log.warning)
        except Unavailable as error:
            return Failed(name="NotShared", message=str(error))
    return Completed(message=f"{stage}: {outcome.how} in {outcome.seconds:.0f} s", data=outcome.how)
