"""The flow `sweep`: a run of `finetune` for each trial, carried out by workers; what trials share runs once."""

import time
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.runtime import deployment, flow_run

from flows.compare.leaderboard import Leaderboard, cells, of_bases, of_trials
from flows.deploy.own_slot import OwnSlot
from flows.params.model import model
from flows.results.scores import HALF_WAY
from flows.run.policies import operation
from flows.run.pruning import PruningRule
from flows.search import Method, Values, foreseen, space, trials
from flows.server.logs import log_failures_once
from flows.server.retry import retry
from flows.trials import DEPLOYMENT, Trial, begin, check, ended, give_up
from flows.worktree import remotes
from flows.worktree.worktree import home, label
from flows.worktree.zombies import claim_flow_run, reap
from tasks.charts.parallel import parallel_chart
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS, Paths
from tasks.core.settings import load
from tasks.named.choices import hint

POLL = 1.0
"""Seconds between two looks at the child runs."""

TRIED = 3
"""Trials that must have finished before others can be ended early."""


class Swept(NamedTuple):
    """What a sweep gave."""

    rows: list[dict[str, Any]]
    """Trials, the best first, with values and score."""
    board: Leaderboard | None
    """Bases side by side; None for a sweep over something else."""


@flow(name="sweep")
def sweep(
    values: list[str],
    method: Method = "grid",
    count: int = 20,
    at_once: int = 2,
    metric: str = "candidates.merged.exact_match.value",
    maximize: bool = True,
    stop_hopeless: bool = True,
    revision: str = "HEAD",
    seed: int = 0,
) -> Swept:
    """Run `finetune` for many values of params.yaml, and say which did best.

    Workers carry the trials out, wherever they are; where this is a deployed run, one at a time in its own slot. What
    an earlier sweep tried from the same start is not tried again, whatever became of that sweep.

    Args:
        values: One line for each key: `train.learning_rate=1e-4,2e-4`, or `train.lora.r=4..64` for a range.
        method: Every combination (grid), combinations drawn at random, or proposed by Optuna.
        count: Trials, where there is no grid.
        at_once: Child runs at a time.
        metric: The score: where it stands in data/report/comparison.json.
        maximize: Whether more of it is better.
        stop_hopeless: End a trial whose training loss, half way, is above the median of the trials before it.
        revision: The commit, branch, tag or experiment that all trials start from.
        seed: Of what is drawn at random.
    """
    log_failures_once()
    claim_flow_run()
    log, name = get_run_logger(), label(flow_run.name or "sweep")
    reap(log.info)
    baseline = remotes.find(revision, operation(Paths(home()).policies).share)
    proposed = trials(method, space(values), count, seed, maximize)
    check(list(foreseen(method, space(values), count, seed)), metric, baseline)
    done: list[Trial] = []
    running: list[Trial] = []
    with get_client(sync_client=True) as client, ExitStack() as held:
        slot = held.enter_context(OwnSlot()) if deployment.id else None
        if slot is None:
            _served(client)
        try:
            while True:
                while len(running) < at_once and (chosen := proposed.propose()) is not None:
                    number = len(done) + len(running) + 1
                    rule = _rule(done) if stop_hopeless else None
                    running.append(retry(partial(begin, client, name, number, chosen, baseline, rule)))
                    log.info("trial %d: %s (%s)", number, _words(chosen), _whose(running[-1]))
                if not running:
                    break
                if slot and (mine := retry(lambda: slot.take(client, [trial.run.id for trial in running]))):
                    log.info("%s runs in the slot of this sweep", mine.name)
                for trial in retry(lambda: list(ended(client, running))):
                    running.remove(trial)
                    done.append(trial)
                    trial.score = _score(trial, metric) if trial.numbers or trial.state == "Completed" else None
                    proposed.tell(trial.values, trial.score)
                    log.info("trial %d: %s, %s", trial.number, trial.state, trial.score)
                time.sleep(POLL)
        except BaseException:
            give_up(client, running)
            raise
    rows, board = _table(done, maximize), None
    if done and of_bases(list(done[0].values)):
        price = load(model(), Paths(home()).params).machine.price
        board = of_trials([(trial.run.name, trial.values, trial.numbers) for trial in done], metric, maximize, price)
    retry(lambda: _publish(rows, metric, board))
    return Swept(rows, board)


def _served(client: SyncPrefectClient) -> None:
    pool = client.read_deployment_by_name(DEPLOYMENT).work_pool_name
    workers = client.read_workers_for_work_pool(pool or "")
    if not any(worker.status == "ONLINE" for worker in workers):
        raise MachineError(
            f"the pool {pool} has no running worker; start one in the project's folder with `temper worker`"
        )


def _rule(done: list[Trial]) -> PruningRule | None:
    """Half way, a loss above the median of the finished trials at that point ends the trial."""
    losses = [trial.numbers[HALF_WAY] for trial in done if HALF_WAY in trial.numbers]
    return PruningRule(loss=median(losses)) if len(losses) >= TRIED else None


def _score(trial: Trial, metric: str) -> float:
    try:
        return trial.numbers[metric]
    except KeyError:
        known = hint(metric, trial.numbers)
        raise MachineError(f"{trial.run.name}: {PATHS.comparison} has no {metric}; {known}") from None


def _table(done: list[Trial], maximize: bool) -> list[dict[str, Any]]:
    def rank(trial: Trial) -> tuple[bool, float, int]:
        score = trial.score or 0.0
        return trial.score is None, -score if maximize else score, trial.number

    return [
        {"trial": trial.run.name, **trial.values, "score": trial.score, "state": trial.state}
        for trial in sorted(done, key=rank)
    ]


def _publish(rows: list[dict[str, Any]], metric: str, board: Leaderboard | None) -> None:
    if board:
        create_table_artifact(
            key="leaderboard", table=cells(board), description="Bases by task, before and after tuning."
        )
    create_table_artifact(key="sweep", table=rows, description=f"Trials by {metric}, best first.")
    values = [{key: row[key] for key in row if key not in {"trial", "state"}} for row in rows]
    create_markdown_artifact(
        key="sweep-plot", markdown=_plot(values), description=f"One line per trial, coloured by {metric}."
    )


def _plot(rows: list[dict[str, Any]]) -> str:
    return parallel_chart(rows, "parallel coordinates").markdown() if rows and len(rows[0]) > 1 else "No trial ended."


def _whose(trial: Trial) -> str:
    return trial.run.name if trial.mine else f"{trial.run.name}, of an earlier sweep"


def _words(values: Values) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
