"""What the Prefect UI shows of a run: its stages, what they made, the scores, and how to do it again."""

import csv
import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.bridge import LOCK
from flows.plan.estimate import actual_usage
from flows.results import durations, pages
from flows.results.scores import NUMBERS, equivalence, numbers, rows
from flows.run.progress import CURVES, NAMES, picture, show_markdown
from flows.run.run import Run
from tasks.core.numbers import counted
from tasks.core.paths import PATHS

LOSSES = {"train": PATHS.loss(PATHS.fitted), "align": PATHS.loss(PATHS.aligned)}
"""Curves by stage; they have no points where a stage is off."""

TRAINING = ("train", "align")
"""Stages whose price is told before their first step."""


def publish(run: Run, name: str, experiment: str = "", folder: Path | None = None) -> None:
    """Show the run; where stages ran or were restored, also what they made. Unchanged files are shown by older runs.

    `name` is the run's, `experiment` what it was saved as; "" for a run in a checkout, or one that failed. `folder` is
    that of the project, where its page is kept; by default the current one.
    """
    durations.keep(folder or Path.cwd(), run.outcomes)
    page = None if run.failed else pages.write(folder or Path.cwd(), name, experiment)
    table = _run(run, experiment, page)
    create_markdown_artifact(key="run", markdown=table, description="How each stage was brought up to date.")
    if PATHS.comparison.exists():
        create_table_artifact(key="comparison", table=rows(), description="Every candidate on the held-out rows.")
        if not run.failed:  # else they are those of the revision
            create_table_artifact(
                key=NUMBERS, table=numbers(run.outcomes), description="Every number of the comparison."
            )
    trained = [name for name, outcome in run.outcomes.items() if name in TRAINING and outcome.how == "ran"]
    if price := actual_usage(trained):
        create_table_artifact(key="price", table=price, description="Estimated and actual cost of training.")
    changed = {path for outcome in run.outcomes.values() if outcome.how != "unchanged" for path in outcome.outs}
    if PATHS.ledger.exists() and str(PATHS.ledger) in changed:
        create_table_artifact(key="ledger", table=_ledger(), description="Rows in, out, and left out by reason.")
    if PATHS.audit.exists() and str(PATHS.audit) in changed:
        create_markdown_artifact(key="audit", markdown=_audit(), description="Which tokens are trained on.")
    for stage, path in LOSSES.items():
        if path.exists() and not changed.isdisjoint({str(path), str(path.parent)}) and (shown_curve := _curve(path)):
            show_markdown(run.pictures, CURVES[stage], shown_curve, "Loss, or reward, by step.")
    if any(Path(path).is_relative_to(PATHS.schemes) or Path(path) == PATHS.merged for path in changed) and (
        proofs := equivalence()
    ):
        create_table_artifact(
            key="equivalence", table=proofs, description="How far each model differs from its original."
        )
    if PATHS.card.exists() and str(PATHS.card) in changed:
        create_markdown_artifact(key="report", markdown=_card(), description="The model card.")


def _run(run: Run, experiment: str, page: Path | None) -> str:
    lines = ["| stage | how | seconds | why | outputs |", "| --- | --- | ---: | --- | --- |"]
    for status in run.statuses:
        if outcome := run.outcomes.get(status.name):
            outs = ", ".join(f"{path} `{value[:8]}`" for path, value in outcome.outs.items())
            why = "; ".join(outcome.reasons).replace("|", "\\|")
            lines.append(f"| {status.name} | {outcome.how} | {outcome.seconds:.1f} | {why} | {outs} |")
        else:
            lines.append(f"| {status.name} | {'failed' if status.name in run.failures else 'not run'} | | | |")
    for stage, sentence in run.failures.items():
        lines += ["", f"**{stage} failed**", "", "```", sentence, "```"]
    if page:
        name = PATHS.pages / page.parent.name / page.name
        lines += ["", f"Report: [{name}]({page.resolve().as_uri()}) on the machine that ran this; it links back here."]
    return "\n".join([*lines, "", *(_kept(experiment) if experiment else _in_place())])


def _in_place() -> list[str]:
    revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return [
        f"To repeat this run, commit `{PATHS.params}` and `{LOCK}` as they are now, and in a clone of that commit:",
        "",
        "```",
        "dvc repro            # from scratch; or, with the cache of this machine or a remote: dvc repro --pull",
        "```",
        f"The last commit when this ran: `{revision or 'none'}`.",
    ]


def _kept(experiment: str) -> list[str]:
    return [
        f"Saved as the experiment `{experiment}`. In the project's folder:",
        "",
        "```",
        f"dvc exp apply {experiment}      # bring it here: parameters, {LOCK}, outputs, {PATHS.page}",
        f"temper reproduce {experiment}   # rebuild it from nothing, and compare every output",
        f"dvc exp push origin {experiment}",
        "```",
    ]


def _ledger() -> list[dict[str, Any]]:
    ledger = json.loads(PATHS.ledger.read_text())
    lines = [("came in", ledger["in"])]
    lines += [("repeated", ledger["repeated"])] if "repeated" in ledger else []
    lines += [(f"out: {name}", count) for name, count in ledger["out"].items()]
    lines += [(f"left out: {reason}", count) for reason, count in ledger["left"].items()]
    lines += [(f"found and kept: {finding}", count) for finding, count in ledger.get("reported", {}).items()]
    return [{"rows": name, "count": count} for name, count in lines]


def _audit() -> str:
    """The accounts and findings of templating, and rows with ⟦trained tokens⟧ marked."""
    audit = json.loads(PATHS.audit.read_text())
    lines = [f"At most {counted(audit['max_length']['tokens'], 'tokens')} a row ({audit['max_length']['source']})."]
    lines += ["", "| split | rows | tokens | with loss | p50 | p99 | longest |", "|---|---|---|---|---|---|---|"]
    for split, summary in audit["splits"].items():
        trained, lengths = summary["trained"], summary["lengths"]
        ranks = " | ".join(str(lengths.get(rank, "")) for rank in ("p50", "p99", "max"))
        counts = " | ".join(f"{trained[name]:,}" for name in ("rows", "tokens", "supervised_tokens"))
        lines.append(f"| {split} | {counts} | {ranks} |")
    lines += ["", *(f"- {line}" for line in audit["made_right"].values())]
    for split, summary in audit["splits"].items():
        lines += [
            f"- {split}: {one['severity']}: {counted(one['rows'], 'rows')}: {one['message']}"
            for one in summary["findings"]
        ]
    if PATHS.preview.exists():
        rows = re.findall(r'<pre class="row">(.*?)</pre>', PATHS.preview.read_text(), re.DOTALL)
        marked = [row.replace("<mark>", "⟦").replace("</mark>", "⟧") for row in rows]
        lines += ["", *(f"```\n{unescape(re.sub(r'</?b>', '', row))}\n```" for row in marked)]
    return "\n".join(lines)


def _card() -> str:
    """The model card without its front matter, which is for the hub."""
    text = PATHS.card.read_text(encoding="utf-8")
    return text.partition("\n---\n")[2].strip() if text.startswith("---\n") else text


def _curve(path: Path) -> str:
    """Reward where the model's own answers were rewarded, for there the loss says nothing; else loss. "" of none."""
    with path.open(newline="") as file:
        table = list(csv.DictReader(file))
    lines = {
        name: points
        for column, name in NAMES.items()
        if (points := [(float(row["step"]), float(row[column])) for row in table if row.get(column)])
    }
    return picture(lines) if lines else ""
