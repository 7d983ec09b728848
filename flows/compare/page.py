"""The page of all runs: one file, whose scripts stand in the folder `page` beside this one."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flows.bridge import LOCK
from flows.compare.answers import answers, forget
from flows.compare.leaderboard import leaderboards, numbers
from flows.compare.production import Promotion, promotions
from flows.compare.runs import MOST, Run, test_sets
from flows.compare.scores import Key
from flows.system.git import git
from tasks.core.errors import MachineError
from tasks.core.files import write_text
from tasks.core.numbers import metric_name
from tasks.core.paths import PATHS
from tasks.decide.words import TRAINED, candidate_name
from tasks.pages.document import document, script_of

PARTS = Path(__file__).parent / "page"
SCRIPTS = ("columns.js", "query.js", "table.js", "difference.js", "scales.js", "charts.js", "sections.js", "main.js")


def write_page(all_runs: Sequence[Run]) -> None:
    """Write data/report/runs.html."""
    write_text(PATHS.runs, html(page_data(all_runs)))
    forget(all_runs)


def html(data: dict[str, Any]) -> str:
    """The page of what `page_data` gives."""
    body = (PARTS / "runs.html").read_text(encoding="utf-8")
    script = script_of(*(PARTS / name for name in SCRIPTS))
    return document(f"Runs of {data['project']}", body, script=script, data=data)


def page_data(all_runs: Sequence[Run], *, rows: bool = True) -> dict[str, Any]:
    """What the page holds; `rows`: with what was answered, row by row."""
    shared, by_commit = answers(all_runs) if rows else ({}, {})
    keys = list(dict.fromkeys(key for run in all_runs for key in run.scores))
    params = differing(all_runs)
    names, letters = _candidate_names(all_runs), test_sets(all_runs)
    pages = {file.parent.name for file in PATHS.pages.glob(f"*/{PATHS.page.name}")}
    history, boards = _promotions(), leaderboards(all_runs)
    metrics = {str(run.decision["metric"]) for run in all_runs if run.decision}
    metrics |= {key.metric for key in keys} | {metric for board in boards for _, metric in board.tasks}
    stages: dict[str, list[str]] = {}
    for one in history:
        if one.current:
            stages.setdefault(_run_of(one.commit, {run.commit for run in all_runs}), []).append(
                f"{one.stage} {one.version}".strip()
            )
    return {
        "project": Path.cwd().name,
        "most": len(all_runs) if len(all_runs) >= MOST else None,
        "params": params,
        "candidate_names": names,
        "scores": [{"name": key.column(names), **_named(key), "lower": _lower(all_runs, key)} for key in keys],
        "runs": [
            {**_run(run, pages), "test_rows": letters.get(run.test_rows),
             "params": [_plain(run.settings.get(name)) for name in params],
             "scores": [numbers(run.scores.get(key)) for key in keys], "stages": stages.get(run.commit, []),
             **({"answers": by_commit.get(run.commit)} if rows else {})}
            for run in all_runs
        ],
        **({"answers": shared} if rows else {}),
        "leaderboards": [board.as_json() for board in boards],
        "metric_names": {metric: metric_name(metric) for metric in sorted(metrics)},
        "history": [one.as_json() for one in history],
    }  # fmt: skip


def _candidate_names(all_runs: Sequence[Run]) -> dict[str, str]:
    """Candidates that people read by another name than files have, in all of these runs or in some."""
    whole = {run.whole for run in all_runs for key in run.scores if key.candidate == TRAINED}
    return {TRAINED: " or ".join(candidate_name(TRAINED, whole=one) for one in sorted(whole))} if any(whole) else {}


def differing(all_runs: Sequence[Run]) -> list[str]:
    """Parameters that are not the same in all runs, in the order of params.yaml."""
    names = dict.fromkeys(name for run in all_runs for name in run.settings)
    return [name for name in names if not _alike([run.settings.get(name) for run in all_runs])]


def _alike(values: Sequence[Any]) -> bool:
    """Whether all are one and the same; 1, 1.0 and true are three."""
    first, *others = values
    if any(type(value) is not type(first) or value != first for value in others):
        plain = {(type(value), value) for value in map(_plain, values)}
        return len(plain) == 1
    return True


def _run(run: Run, pages: set[str]) -> dict[str, Any]:
    """`pages`: names of runs that have a report here."""
    decision = run.decision
    known = {name: decision.get(name) for name in ("promote", "reason", "candidate", "metric", "gain", "p", "n")}
    return {
        "name": run.name,
        "commit": run.commit,
        "who": run.who,
        "when": run.when,
        "address": run.address if run.address.startswith(("http://", "https://")) else "",
        "report": f"{PATHS.pages.name}/{quote(run.name)}/{PATHS.page.name}" if run.name in pages else "",
        "verdict": run.verdict,
        **known,
        "score": [decision[name] for name in ("value", "low", "high")] if decision else None,
        "changed": run.changed,
        "training": run.training,
        "cost": run.cost,
    }


def _named(key: Key) -> dict[str, str]:
    return {"candidate": key.candidate, "task": key.task, "metric": key.metric}


def _plain(value: Any) -> Any:
    """A parameter as JSON has it: a number, a text, true, false or null; all else as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _lower(all_runs: Sequence[Run], key: Key) -> bool:
    return next((run.scores[key].lower for run in all_runs if key in run.scores), False)


def _run_of(commit: str, runs: set[str]) -> str:
    """The run whose outputs a commit has: itself, or the last one before it that changed dvc.lock."""
    return commit if commit in runs else git("log", "-1", "--format=%H", commit, "--", str(LOCK)) or commit


def _promotions() -> list[Promotion]:
    try:
        return promotions()
    except MachineError:  # a pipeline without a model has no history of one
        return []
