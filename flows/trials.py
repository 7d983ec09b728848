"""The trials of a sweep as runs of `finetune`: checked before the first one, queued or found again, ended with it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.filters import FlowRunFilterTags as Tags
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.params.model import change, model, nested
from flows.results.scores import HALF_WAY, NUMBERS
from flows.run.ending import cancel
from flows.run.heartbeat import LABEL, SILENCE, Listener
from flows.run.pruning import STOPPED, PruningRule
from flows.search import Values
from flows.system.git import git
from flows.worktree.worktree import home
from tasks.core.errors import SettingsError
from tasks.core.files import fingerprint
from tasks.core.paths import PATHS
from tasks.core.settings import load
from tasks.evaluate.score_paths import fault

DEPLOYMENT = "finetune/temper"

USABLE = ("Completed", "NotShared")
"""Ends of a run that has its numbers."""


@dataclass
class Trial:
    """One child run, and what came of it."""

    number: int
    values: Values
    run: FlowRun
    state: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    """What its run published, by dotted path; empty where it came to none."""
    score: float | None = None
    mine: bool = True
    """Whether this sweep queued it; else one did that ended before, or that goes on beside this one."""
    listener: Listener = field(default_factory=Listener)


def check(proposed: Sequence[Values], metric: str, baseline: str) -> None:
    """Raise `SettingsError` where a trial's settings have faults, or its run would come to no such number as `metric`.

    `proposed`: trials to check, by their values, which are put over params.yaml of the commit `baseline`.
    """
    text = git("show", f"{baseline}:./{PATHS.params}", folder=home())
    with TemporaryDirectory() as folder:
        path = Path(folder) / PATHS.params.name
        for values in proposed or [{}]:
            words = ", ".join(f"{key}={value}" for key, value in values.items()) or "the trials' start"
            path.write_text(f"{text}\n", encoding="utf-8")
            try:
                change([], values=settings(values), path=path)
                params = load(model(), path)
            except SettingsError as error:
                raise SettingsError(f"{words}: {str(error).replace(str(path), str(PATHS.params))}") from None
            if metric != HALF_WAY and (reason := fault(metric, params.evaluate, params.quantize.schemes)):
                raise SettingsError(f"the metric of the sweep: with {words}, {reason}")


def settings(values: Values) -> dict[str, Any]:
    """The values of a trial as they are put over params.yaml."""
    return nested([f"{key}={json.dumps(value)}" for key, value in values.items()])


def begin(
    client: SyncPrefectClient, name: str, number: int, values: Values, baseline: str, rule: PruningRule | None
) -> Trial:
    """Queue a trial of the sweep `name`, or take the run of the same values and start that is there already.

    Asked again with the same number, by a retry of this flow, the server gives the first one.
    """
    tag = f"trial:{fingerprint([baseline, values])[:32]}"
    if (known := _known(client, tag, pruned=rule is not None)) is not None:
        return Trial(number, values, known, mine=False)
    parameters = {
        "settings": settings(values),
        "revision": baseline,
        "pruning": rule.model_dump() if rule else None,
    }
    queue: Any = run_deployment  # typed for coroutines; in a flow that is none it waits
    run: FlowRun = queue(
        DEPLOYMENT,
        flow_run_name=f"{name}-{number:02}",
        parameters=parameters,
        timeout=0,
        idempotency_key=f"{flow_run.id}-{number}",
        tags=[f"sweep:{name}", tag],
    )
    return Trial(number, values, run)


def _known(client: SyncPrefectClient, tag: str, *, pruned: bool) -> FlowRun | None:
    """The run of a trial that is finished, or else one that is queued or at work; one that failed is none."""
    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=Tags(all_=[tag])))
    good = (*USABLE, STOPPED) if pruned else USABLE
    finished = [run for run in runs if run.state and run.state.name in good]
    under_way = [
        run
        for run in runs
        if run.state and (run.state.is_scheduled() or run.state.is_pending() or run.state.is_running())
    ]
    return next(iter((*finished, *under_way)), None)


def ended(client: SyncPrefectClient, running: Sequence[Trial]) -> Iterator[Trial]:
    """Those of `running` whose run has ended, with what it published.

    One whose machine has gone, so that nobody tells the server, is ended here: its beats stay away.
    """
    for trial in running:
        run = client.read_flow_run(trial.run.id)
        if LABEL in run.labels and run.state and run.state.is_running() and trial.listener.silent(run):
            died = f"its machine has been silent for {SILENCE:.0f} s"
            client.set_flow_run_state(run.id, Crashed(message=died), force=True)
            run = client.read_flow_run(run.id)
        if run.state and run.state.is_final():
            trial.state, trial.numbers = str(run.state.name), _numbers(client, run)
            yield trial


def _numbers(client: SyncPrefectClient, run: FlowRun) -> dict[str, float]:
    """What a run published: the server has it, whichever machine carried the run out, and wherever its files are."""
    key = ArtifactFilter(key=ArtifactFilterKey(any_=[NUMBERS]))
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    tables = client.read_artifacts(artifact_filter=key, flow_run_filter=mine)
    return {row["number"]: row["value"] for table in tables for row in json.loads(str(table.data))}


def give_up(client: SyncPrefectClient, running: Sequence[Trial]) -> None:
    """End what this sweep has queued; what it found queued, or at work, is left as it is."""
    for trial in running:
        if trial.mine:
            with suppress(httpx.HTTPError):  # of a server that is away; the others are told all the same
                cancel(client, trial.run.id)
