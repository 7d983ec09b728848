"""The flow `finetune`: every stage of dvc.yaml, in DVC's order, as many at once as the machine allows.

DVC decides, Prefect shows. A stage is a Prefect task of the same name. Where dvc.lock holds, or the run cache knows the
outputs, the task is *Cached*; else the stage's own command runs as a child process, and its lines become the task's
log. When a stage fails, those that do not need it still finish.
"""

from typing import TYPE_CHECKING, Any, cast

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.bridge import LOCK, Outcome, sort_lockfile, survey, upstream
from flows.results import artifacts
from flows.results.decision import decision
from flows.run.observer import observer
from flows.run.policies import Operation
from flows.run.pruning import PruningRule
from flows.run.run import Run
from flows.server.logs import log_results_alone
from flows.server.retry import retry
from flows.system.checkout_lock import checkout_lock
from flows.worktree.worktree import label
from flows.worktree.zombies import claim_flow_run
from tasks.core.errors import InputError, TemperError
from tasks.decide.words import promotion

if TYPE_CHECKING:
    from flows.run.elsewhere import Elsewhere

RUNNER = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=500))
"""More threads than stages: a stage that waits for others holds one too. How many work at once is `Run`'s business."""


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def stage(name: str, run: Run) -> State[Any]:
    """Make one stage current, after those that it needs. A failure that was foreseen is a sentence, not a traceback."""
    try:
        outcome = run.ensure_current(name, get_run_logger())
    except TemperError as error:
        return Failed(message=str(error), data=error)
    if outcome.how == "ran":
        return Completed(message=f"ran in {outcome.seconds:.0f} s", data=outcome)
    message = f"{LOCK} holds" if outcome.how == "unchanged" else "restored from the cache"
    return Completed(name="Cached", message=message, data=outcome)


@flow(name="finetune", task_runner=RUNNER)
def finetune(
    force: list[str] | None = None, jobs: int | None = None, stages: list[str] | None = None
) -> State[dict[str, Outcome]]:
    """Make every stage current; the result is how each became so. The state says whether the model may be promoted.

    Args:
        force: Stages to run even where nothing changed.
        jobs: Stages that run at once, at most; by default what cores, memory and graphics card allow.
        stages: Those that are wanted; what they need comes with them. By default every one.
    """
    with checkout_lock(observer().message):
        claim_flow_run()
        run = carry_out(force or [], jobs, stages=stages)
        retry(lambda: artifacts.publish(run, label(flow_run.name or "run")))
        run.check()
        return final_state(run.outcomes)


def carry_out(
    force: list[str],
    jobs: int | None,
    operation: Operation | None = None,
    pruning: PruningRule | None = None,
    stages: list[str] | None = None,
    lacks: str = "missing, and no stage makes it; add it, or name another.",
    elsewhere: "Elsewhere | None" = None,
) -> Run:
    """Bring the stages of the current checkout, each as a task of the flow run that calls; failures are in the run.

    Raises `InputError` for a file that a stage reads and nobody has; `lacks` says what it is, and what to do.
    `elsewhere` runs the stages of queues.
    """
    log_results_alone()
    log = get_run_logger()

    def tell(line: str) -> None:
        log.warning("%s", line)
        observer().message(line)

    with checkout_lock(observer().message):
        statuses = upstream(survey(tell), stages or [])
        if lost := [f"{path} (for {status.name})" for status in statuses for path in status.missing]:
            raise InputError(f"{', '.join(lost)}: {lacks}")
        run = Run(statuses, force, jobs, operation, pruning, elsewhere)
        submitted: dict[str, PrefectFuture[Any]] = {}
        with run:
            for status in run.statuses:
                before = [submitted[name] for name in status.after]
                named = stage.with_options(name=status.name)
                submitted[status.name] = named.submit(status.name, run, wait_for=before, return_state=False)
            for future in submitted.values():
                future.wait()
        if run.moved:
            sort_lockfile()
    return run


def final_state(outcomes: dict[str, Outcome]) -> State[dict[str, Outcome]]:
    """The final state of a run whose stages are current: what `decide` says, if it was one, with its reason."""
    if "decide" not in outcomes or (decided := decision()) is None:
        return Completed(data=outcomes)
    name = promotion(decided).capitalize()
    return Completed(name=name, message=f"{name}: {decided['reason']}", data=outcomes)
