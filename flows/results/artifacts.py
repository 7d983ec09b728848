"""What the Prefect UI shows of a run: its stages, what they made, the scores, and how to do it again."""

import csv
import json
import re
import subprocess
import threading
import time
from contextvars import Context, copy_context
from html import unescape
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from flows.plan.estimate import taken
from flows.results import pages
from flows.results.scores import CARD, COMPARISON, MERGED, QUANTIZED, REPORT, equivalence, rows
from tasks.charts.line import line_chart

if TYPE_CHECKING:
    from flows.run.run import Run

LEDGER = Path("data/clean/ledger.json")
AUDIT = Path("data/templated/audit.json")
PREVIEW = Path("data/templated/preview.html")
CURVES = {"loss": Path("data/trained/loss.csv"), "alignment": Path("data/aligned/loss.csv")}
"""Curves by the key under which they are shown; they have no points where a stage is off."""

TRAINING = ("train", "align")
"""Stages whose price is told before their first step."""

EVERY = 5.0
"""Seconds between two updates of a progress bar in the UI: each is a request to the server."""


def publish(run: "Run", name: str, experiment: str = "", folder: Path | None = None) -> None:
    """Show the run; where stages ran or were restored, also what they made. Unchanged files are shown by older runs.

    `name` is the run's, `experiment` what it was saved as; "" for a run in a checkout, or one that failed. `folder` is
    that of the project, where its page is kept; by default the current one.
    """
    page = None if run.failed else pages.write(folder or Path.cwd(), name, experiment)
    table = _run(run, experiment, page)
    create_markdown_artifact(key="run", markdown=table, description="How each stage became current.")
    if COMPARISON.exists():
        create_table_artifact(key="comparison", table=rows(), description="Every candidate on the held-out rows.")
    trained = [name for name, outcome in run.outcomes.items() if name in TRAINING and outcome.how == "ran"]
    if price := taken(trained):
        create_table_artifact(key="price", table=price, description="What training was foretold to take, and took.")
    made = {path for outcome in run.outcomes.values() if outcome.how != "unchanged" for path in outcome.outs}
    if LEDGER.exists() and str(LEDGER) in made:
        create_table_artifact(key="ledger", table=_ledger(), description="Rows in, out, and left out by reason.")
    if AUDIT.exists() and str(AUDIT) in made:
        create_markdown_artifact(key="audit", markdown=_audit(), description="What is trained, token by token.")
    for key, path in CURVES.items():
        if path.exists() and not made.isdisjoint({str(path), str(path.parent)}) and (picture := _curve(path)):
            create_markdown_artifact(key=key, markdown=picture, description="Loss, or reward, by step.")
    if any(Path(path).is_relative_to(QUANTIZED) or Path(path) == MERGED.parent for path in made) and (
        proofs := equivalence()
    ):
        create_table_artifact(key="equivalence", table=proofs, description="How far each model is from its original.")
    if CARD.exists() and str(CARD) in made:
        create_markdown_artifact(key="report", markdown=_card(), description="The model card.")


class Bars:
    """Progress bars in the UI, one for each running stage, drawn by a thread of their own: no stage waits for them."""

    def __init__(self) -> None:
        self._bars: dict[str, Any] = {}
        self._last: dict[str, float] = {}
        self._states: SimpleQueue[tuple[Context, str, float, str] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._thread.start()

    def show(self, stage: str, state: dict[str, Any]) -> None:
        """Show `{"what", "done", "total", "unit", "figures"}` of a stage, at most every `EVERY` seconds."""
        now, share = time.monotonic(), 100.0 * state["done"] / max(state["total"], 1)
        if now - self._last.get(stage, -EVERY) < EVERY and share < 100.0:
            return
        self._last[stage] = now
        figures = ", ".join(f"{name} {value:.4g}" for name, value in state.get("figures", {}).items())
        text = f"{state['what']}: {state['done']} of {state['total']} {state['unit']}. {figures}"
        self._states.put((copy_context(), stage, share, text))  # the context says to Prefect which task run it is

    def close(self) -> None:
        """Give the last states a moment to arrive."""
        self._states.put(None)
        self._thread.join(EVERY)

    def _draw(self) -> None:
        while (state := self._states.get()) is not None:
            context, stage, share, text = state
            try:
                context.run(self._put, stage, share, text)
            except (httpx.HTTPError, PrefectException):
                return  # the server is gone; the flow will say so

    def _put(self, stage: str, share: float, text: str) -> None:
        if stage in self._bars:
            update_progress_artifact(self._bars[stage], progress=share, description=text)
        else:
            key = "".join(letter if letter.isalnum() else "-" for letter in f"progress-{stage}".lower())
            self._bars[stage] = create_progress_artifact(progress=share, key=key, description=text)


def _run(run: "Run", experiment: str, page: Path | None) -> str:
    lines = ["| stage | how | seconds | why | outputs |", "| --- | --- | ---: | --- | --- |"]
    for need in run.needs:
        if outcome := run.outcomes.get(need.name):
            outs = ", ".join(f"{path} `{value[:8]}`" for path, value in outcome.outs.items())
            why = "; ".join(outcome.reasons).replace("|", "\\|")
            lines.append(f"| {need.name} | {outcome.how} | {outcome.seconds:.1f} | {why} | {outs} |")
        else:
            lines.append(f"| {need.name} | {'failed' if need.name in run.failures else 'not run'} | | | |")
    for stage, sentence in run.failures.items():
        lines += ["", f"**{stage} failed**", "", "```", sentence, "```"]
    if page:
        shown = pages.PAGES / page.parent.name / page.name
        lines += ["", f"Report: [{shown}]({page.resolve().as_uri()}) on the machine that ran this; it links back here."]
    return "\n".join([*lines, "", *(_kept(experiment) if experiment else _in_place())])


def _in_place() -> list[str]:
    revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return [
        "To do this run again, commit `params.yaml` and `dvc.lock` as they are now, and in a clone of that commit:",
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
        f"dvc exp apply {experiment}      # bring it here: parameters, dvc.lock, outputs, {REPORT}",
        f"temper reproduce {experiment}   # rebuild it from nothing, and compare every output",
        f"dvc exp push origin {experiment}",
        "```",
    ]


def _ledger() -> list[dict[str, Any]]:
    ledger = json.loads(LEDGER.read_text())
    lines = [("came in", ledger["in"])]
    lines += [(f"out: {name}", count) for name, count in ledger["out"].items()]
    lines += [(f"left out: {reason}", count) for reason, count in ledger["left"].items()]
    lines += [(f"found, and stayed: {finding}", count) for finding, count in ledger.get("reported", {}).items()]
    return [{"rows": name, "count": count} for name, count in lines]


def _audit() -> str:
    """The accounts and findings of templating, and rows with ⟦trained tokens⟧ marked."""
    audit = json.loads(AUDIT.read_text())
    lines = [f"At most {audit['max_length']['tokens']} tokens a row ({audit['max_length']['source']})."]
    lines += ["", "| split | rows | tokens | with loss | p50 | p99 | longest |", "|---|---|---|---|---|---|---|"]
    for split, told in audit["splits"].items():
        trained, lengths = told["trained"], told["lengths"]
        ranks = " | ".join(str(lengths.get(rank, "")) for rank in ("p50", "p99", "max"))
        counts = " | ".join(f"{trained[name]:,}" for name in ("rows", "tokens", "supervised_tokens"))
        lines.append(f"| {split} | {counts} | {ranks} |")
    lines += ["", *(f"- {line}" for line in audit["made_right"].values())]
    for split, told in audit["splits"].items():
        lines += [f"- {split}: {one['severity']}: {one['rows']} rows: {one['message']}" for one in told["findings"]]
    if PREVIEW.exists():
        rows = re.findall(r'<div class="row">(.*?)</div>', PREVIEW.read_text(), re.DOTALL)
        marked = [row.replace("<mark>", "⟦").replace("</mark>", "⟧") for row in rows]
        lines += ["", *(f"```\n{unescape(re.sub(r'</?b>', '', row))}\n```" for row in marked)]
    return "\n".join(lines)


def _card() -> str:
    """The model card without its front matter, which is for the hub."""
    text = CARD.read_text(encoding="utf-8")
    return text.partition("\n---\n")[2].strip() if text.startswith("---\n") else text


def _curve(path: Path) -> str:
    """Reward where the model's own answers were rewarded, for there the loss says nothing; else loss. "" of none."""
    with path.open(newline="") as file:
        table = list(csv.DictReader(file))
    columns = {"training": "loss", "validation": "eval_loss"}
    if any(row.get("reward") for row in table):
        columns = {"reward": "reward"}
    lines = {
        name: points
        for name, column in columns.items()
        if (points := [(float(row["step"]), float(row[column])) for row in table if row.get(column)])
    }
    if not lines:
        return ""
    what = "reward" if "reward" in lines else "loss"
    last = ", ".join(f"{name} {points[-1][1]:.4g}" for name, points in lines.items())
    return f"{line_chart(lines, 'step', what, f'{what} curve').markdown()}\n\nLast: {last}."
