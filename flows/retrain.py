"""The flow `retrain`: run as `finetune` does, compare with the promoted model, promote or not, and say so.

The stage `decide` decides, by its rules; the model is registered as by `temper promote`. Its scores, row by row, are
kept under a git ref of its commit: they take the place of data/best in later runs, which are compared with them.
"""

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed

from flows.compare.production import PRODUCTION, holder, same_model
from flows.deployed import run_isolated
from flows.finetune import RUNNER
from flows.history.registry import keep_scores, register_in_subprocess
from flows.params.form import UNCHANGED, Form
from flows.results.decision import decision
from flows.results.pages import address
from flows.server.retry import retry
from flows.system.git import git
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS


class Promotion:
    """Whether one run's model takes the place of the one that has the stage `stage`."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.before = promoted.commit if (promoted := holder(stage)) else ""
        """The commit of the model that has the stage so far; "" for none."""
        self.promote = False
        self.reason = "it has no decision; read the report, and promote it manually."

    def prepare(self) -> None:
        """Put the scores of the model so far where `decide` looks for them; called in the run's worktree."""
        if self.before and git("for-each-ref", _scores(self.before)):
            git("checkout", "--quiet", _scores(self.before), "--", str(PATHS.best))

    def conclude(self, commit: str) -> None:
        """Read the decision, and keep the scores if it says yes; called in the run's worktree, with its experiment."""
        if (decided := decision()) is None:
            return
        self.promote, self.reason = bool(decided["promote"]), str(decided["reason"])
        if self.before and same_model(self.before, commit):
            self.promote, self.reason = False, "it is byte for byte the model that is already promoted."
        if self.promote:
            keep_scores(decided)
            git("add", "--force", "--", str(PATHS.best))
            scored = git("commit-tree", git("write-tree"), "-p", commit, text="Scores to compare with\n")
            git("update-ref", _scores(commit), scored)


@flow(name="retrain", task_runner=RUNNER)
def retrain(
    settings: Form = UNCHANGED, revision: str = "HEAD", notify: list[str] | None = None, stage: str = PRODUCTION
) -> State[Any]:
    """Make every stage current in a checkout of this run's own; promote the model where the decision says so.

    Args:
        settings: Put over the params.yaml of the revision.
        revision: The commit, branch, tag or experiment to start from.
        notify: Prefect notification blocks to tell, such as slack-webhook/team or custom-webhook/pager.
        stage: What the registered model becomes, such as staging.
    """
    promotion = Promotion(stage)
    state = run_isolated(settings, revision, [], prepare=promotion.prepare, conclude=promotion.conclude)
    if not state.is_completed():
        return state
    facts = state.result()
    done = register_in_subprocess(facts["commit"], stage) if promotion.promote else []
    text = _text(facts["experiment"], facts["commit"], promotion, done)
    description = "Whether this run was promoted, and why."
    retry(lambda: create_markdown_artifact(key="decision", markdown=text, description=description))
    word = "promoted" if promotion.promote else "kept"
    emit_event(
        event=f"temper.model.{word}",
        resource={"prefect.resource.id": f"temper.experiment.{facts['experiment']}"},
        payload={"experiment": facts["experiment"], "commit": facts["commit"], "reason": promotion.reason},
    )
    name = "Promoted" if promotion.promote else "Not promoted"
    tell(notify or [], f"temper: {facts['experiment']} {name.lower()}", text)
    return Completed(name=name, message=f"{facts['experiment']}: {promotion.reason}", data=text)


def tell(blocks: list[str], subject: str, body: str) -> None:
    """Tell each notification block. One that fails costs its message, not the run."""
    for name in blocks:
        try:
            block = Block.load(name)
            if not isinstance(block, NotificationBlock):
                raise MachineError(f"the block {name} sends no notifications")
            block.notify(body, subject)  # type: ignore[unused-coroutine]
        except Exception as error:  # whatever a service, or its client, comes up with
            get_run_logger().warning(
                "%s was not notified: %s", name, type(error).__name__
            )  # its text may hold a secret


def _scores(commit: str) -> str:
    """The ref under which the scores of the model of `commit` are kept."""
    return f"refs/temper/best/{commit}"


def _text(experiment: str, commit: str, promotion: Promotion, done: list[str]) -> str:
    outcome = "is promoted" if promotion.promote else "is not promoted"
    lines = [f"**{experiment}** {outcome}: {promotion.reason}", "", *done]
    if promotion.before:
        lines.append(f"Promoted before: `{promotion.before[:12]}`.")
    if page := address():
        lines.append(f"Page: {page}")
    if not promotion.promote:
        lines += ["", f"Manually: `temper promote {experiment}`, with `--against-the-rules` if the rules say no."]
    return "\n".join(lines)
