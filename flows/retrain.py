"""The flow `retrain`: run as `finetune` does, read the decision, promote the experiment or keep what is, and say so.

The decision is made by the pipeline, on its statistics, and written to data/decision/decision.json:
`{"promote": true, "reason": "one sentence", ...}`. Promoted is what the git branch `promoted` points to.
"""

import json
from dataclasses import dataclass
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.runtime import flow_run

from flows.finetune import RUNNER
from flows.form import UNCHANGED, Form
from flows.git import git
from flows.isolated import run_isolated
from tasks.contract.errors import MachineError

BRANCH = "refs/heads/promoted"
DECISION = "data/decision/decision.json"


@dataclass(frozen=True)
class Decision:
    """Whether an experiment takes the place of the promoted one, and why."""

    promote: bool
    reason: str
    before: str
    """The commit that was promoted so far; "" for none."""


@flow(name="retrain", task_runner=RUNNER)
def retrain(settings: Form = UNCHANGED, revision: str = "HEAD", notify: list[str] | None = None) -> State[Any] | str:
    """Make every stage current in a checkout of this run's own; promote the result where the decision says so.

    Args:
        settings: Put over the params.yaml of the revision.
        revision: The commit, branch, tag or experiment to start from.
        notify: Prefect notification blocks to tell, such as slack-webhook/team or custom-webhook/pager.
    """
    state = run_isolated(settings, revision, [])
    if not state.is_completed():
        return state
    facts = state.result()
    decision = decide(facts["commit"])
    if decision.promote:
        git("update-ref", "-m", f"temper: {facts['experiment']}", BRANCH, facts["commit"], decision.before or "0" * 40)
    text = _text(facts["experiment"], facts["commit"], decision)
    create_markdown_artifact(key="decision", markdown=text, description="Whether this run was promoted, and why.")
    word = "promoted" if decision.promote else "kept"
    emit_event(
        event=f"temper.model.{word}",
        resource={"prefect.resource.id": f"temper.experiment.{facts['experiment']}"},
        payload={"experiment": facts["experiment"], "commit": facts["commit"], "reason": decision.reason},
    )
    tell(notify or [], f"temper: {facts['experiment']} {word if decision.promote else 'was not promoted'}", text)
    return text


def decide(commit: str) -> Decision:
    """Read the decision of an experiment. One without a decision, or equal to what is promoted, changes nothing."""
    try:
        before = git("rev-parse", "--verify", "--quiet", BRANCH)
    except MachineError:
        before = ""
    if before and git("rev-parse", f"{before}:./dvc.lock") == git("rev-parse", f"{commit}:./dvc.lock"):
        return Decision(False, "it is, byte for byte, what is promoted already.", before)
    try:
        said = json.loads(git("show", f"{commit}:./{DECISION}"))
    except MachineError:
        return Decision(False, f"it has no {DECISION}; look at the report, and promote by hand.", before)
    return Decision(bool(said["promote"]), str(said["reason"]), before)


def tell(blocks: list[str], subject: str, body: str) -> None:
    """Tell each notification block. One that fails costs its message, not the run."""
    for name in blocks:
        try:
            block = Block.load(name)
            if not isinstance(block, NotificationBlock):
                raise MachineError(f"the block {name} sends no notifications")
            block.notify(body, subject)  # type: ignore[unused-coroutine]
        except Exception as error:  # whatever a service, or its client, comes up with
            get_run_logger().warning("%s was not told: %s", name, type(error).__name__)  # its text may hold a secret


def _text(experiment: str, commit: str, decision: Decision) -> str:
    outcome = "is promoted" if decision.promote else "is not promoted"
    lines = [f"**{experiment}** {outcome}: {decision.reason}", ""]
    if decision.before:
        lines.append(f"Promoted before: `{decision.before[:12]}`.")
    if page := flow_run.ui_url:
        lines.append(f"Page: {page}")
    by_hand = f"git branch --force promoted {commit[:12]}"
    return "\n".join([*lines, "", "" if decision.promote else f"By hand: `{by_hand}`"]).rstrip()
