"""All runs that git and DVC keep, side by side: for the terminal, and on a page beside the report."""

from dataclasses import dataclass
from html import escape
from typing import Any

from flows.bridge import LOCK, names
from flows.history.committed import decision_at, settings_at
from flows.params.diff import parameters
from flows.system.git import git
from tasks.core.errors import MachineError
from tasks.core.files import write_text
from tasks.core.numbers import shown
from tasks.core.paths import PATHS
from tasks.statistics.effect import gained

COLUMNS = ("run", "commit", "metric", "score", "95 % interval", "rows", "gain over base", "p", "decision", "changed")

LOG_FORMAT = "%H %P%x00%s%x00%(trailers:key=Page,valueonly,separator=%x20)"
"""Of a commit: its hash and those before it, its subject, and the address of its flow run."""

STYLE = """body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
color-scheme: light dark } table { border-collapse: collapse; width: 100% } th, td { text-align: left;
vertical-align: top; padding: .35rem .7rem; border-bottom: 1px solid #8884 }
td { font-variant-numeric: tabular-nums }"""


@dataclass(frozen=True)
class Line:
    """One run."""

    name: str
    """Name of the experiment, or the subject of the commit."""
    revision: str
    decision: dict[str, Any]
    changed: list[str]
    """Parameters that differ from the run before it."""
    flow_run: str = ""
    """Its address in the Prefect UI; "" where nobody noted it."""

    def cells(self) -> list[str]:
        """What the columns hold."""
        decision = self.decision
        if not decision:
            return [self.name, self.revision[:10], *[""] * 6, "none", "; ".join(self.changed)]
        return [
            self.name,
            self.revision[:10],
            f"{decision['candidate']} {decision['metric'].replace('_', ' ')}",
            shown(decision["value"]),
            f"{shown(decision['low'])} to {shown(decision['high'])}",
            shown(decision["n"]),
            gained(decision["gain"], str(decision.get("better"))),
            shown(decision["p"]),
            "promoted" if decision["promote"] else f"not promoted: {decision['reason']}",
            "; ".join(self.changed),
        ]


def runs(most: int = 50) -> list[Line]:
    """The newest runs first: commits of this branch, and experiments, in which dvc.lock changed."""
    experiments = names()
    log = git("log", f"-{most}", "--date-order", f"--format={LOG_FORMAT}", "HEAD", *experiments, "--", str(LOCK))
    lines: list[Line] = []
    for line in log.split("\n") if log else ():  # a subject may hold what `splitlines` takes for the end of a line
        hashes, subject, flow_run = line.split("\0")
        revision, *before = hashes.split()
        name, decision = experiments.get(revision, subject), {}
        try:
            decision = decision_at(revision)
            old = settings_at(before[0]) if before else {}
            changed = parameters(old, settings_at(revision)) if old else []
        except MachineError as error:  # of a commit that nobody can mend, among others that can be shown
            changed = [str(error)]
        lines.append(Line(name, revision, decision, changed, flow_run))
    if not lines:
        raise MachineError(f"no run is kept here yet: commit {LOCK} after a run, or run `dvc exp run`.")
    return lines


def write_page(lines: list[Line]) -> None:
    """Write the page: one file, no script."""
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in _linked(line))}</tr>\n" for line in lines)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Runs</title>\n'
        f"<style>{STYLE}</style></head>\n<body><h1>Runs</h1>\n"
        "<p>The newest first; changed: parameters that differ from the commit before.</p>\n"
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></body>\n</html>\n"
    )
    write_text(PATHS.runs, page)


def _linked(line: Line) -> list[str]:
    """The cells as HTML: the first links the report of the run and its flow run, where they are at hand."""
    name, *others = (escape(cell) for cell in line.cells())
    if not line.flow_run.startswith("http"):
        return [name, *others]
    if (report := PATHS.pages / line.name / PATHS.page.name).is_file():
        name = f'<a href="{escape(str(report.relative_to(PATHS.runs.parent)))}">{name}</a>'
    return [f'{name} (<a href="{escape(line.flow_run)}">flow run</a>)', *others]
