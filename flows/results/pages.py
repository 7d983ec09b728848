"""The page of one run, data/report/runs/NAME/report.html: its report, with links to the flow run and the experiment.

The report itself is an output, whose bytes are the same whoever makes it, so what is about one run stands beside it.
"""

import shutil
from html import escape
from pathlib import Path

from prefect.runtime import flow_run

from flows.server import own
from tasks.core.files import write_text
from tasks.core.paths import PATHS, Paths

KEPT = 100
"""Pages; the oldest go."""


def write(folder: Path, name: str, experiment: str = "") -> Path | None:
    """Write the page of the current flow run, `name`, below `folder`; return it, or None where there is no report.

    The report is that of the current folder; `experiment` is what the run was saved as.
    """
    if not PATHS.page.is_file():
        return None
    page_folder = Paths(folder).pages / name
    before, body, after = PATHS.page.read_text(encoding="utf-8").partition("<body>")
    report = f"{before}{body}\n{_line(name, experiment)}{after}" if body else f"{_line(name, experiment)}{before}"
    write_text(page_folder / PATHS.page.name, report)
    if PATHS.predictions.is_file():  # the report links it, as its neighbour
        shutil.copyfile(PATHS.predictions, page_folder / PATHS.predictions.name)
    for old in sorted(page_folder.parent.iterdir(), key=_age)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return page_folder / PATHS.page.name


def address() -> str:
    """The page of the current flow run in the Prefect UI; "" where its server has none, or ends with the run."""
    if own.temporary():
        return ""
    url = flow_run.ui_url or ""
    return url if url.startswith("http") else ""


def _line(name: str, experiment: str) -> str:
    parts = [f"Run {escape(name)}"]
    if url := address():
        parts.append(f'<a href="{escape(url)}">flow run</a>')
    if experiment:
        parts.append(f"<code>dvc exp apply {escape(experiment)}</code>")
        parts.append(f"<code>temper reproduce {escape(experiment)}</code>")
    return f'<p class="run">{" · ".join(parts)}</p>\n'


def _age(page_folder: Path) -> float:
    """Seconds before now, for sorting; what another run has removed meanwhile is the oldest."""
    try:
        return -page_folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
