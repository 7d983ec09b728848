"""Bases side by side on the same rows: base and tuned by task, with intervals, and what the tuning took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.compare.runs import Run, Settings
from flows.compare.scores import Key, Score, Scores
from tasks.core.paths import PATHS

BASE = "base."
"""Parameters that say which base it is."""

BEFORE, AFTER = "base", "merged"
"""The candidates that stand for a base as it is, and tuned."""


@dataclass(frozen=True)
class Entry:
    """One base, tuned."""

    base: str
    run: str
    scores: Scores
    training: float | None = None
    """Seconds of training; None where they are not known."""
    cost: float | None = None
    """What they cost; None where no price is known."""


@dataclass(frozen=True)
class Leaderboard:
    """Entries that were asked the same rows, the best first."""

    tasks: list[tuple[str, str]]
    """Task ("" for all held-out rows) and metric of each column."""
    entries: list[Entry]
    rows: str = ""
    """Hash of the held-out rows, where it is known."""
    others: dict[str, int] = field(default_factory=dict)
    """Base -> further runs of it, which did worse."""

    def cell(self, entry: Entry, task: tuple[str, str]) -> tuple[Score | None, Score | None]:
        """The scores of the base as it is, and tuned."""
        before, after = (entry.scores.get(Key(candidate, *task)) for candidate in (BEFORE, AFTER))
        return before, after

    def as_json(self) -> dict[str, Any]:
        """As the page and programs have it."""
        return {
            "rows": self.rows,
            "tasks": [{"task": task, "metric": metric} for task, metric in self.tasks],
            "entries": [
                {
                    "base": entry.base,
                    "run": entry.run,
                    "training_seconds": entry.training,
                    "cost": entry.cost,
                    "other_runs": self.others.get(entry.base, 0),
                    "scores": [[numbers(score) for score in self.cell(entry, task)] for task in self.tasks],
                }
                for entry in self.entries
            ],
        }


def numbers(score: Score | None) -> list[float | None] | None:
    """Value, low and high; None where there is none."""
    return None if score is None else [value if value == value else None for value in score[:3]]  # NaN is not itself


def leaderboard(entries: Sequence[Entry], metric: str, rows: str = "") -> Leaderboard | None:
    """The best run of each base by `metric` on the held-out rows; None for fewer than two bases."""
    ranked = sorted((entry for entry in entries if _score(entry, metric)), key=lambda entry: _rank(entry, metric))
    best: dict[str, Entry] = {}
    for entry in ranked:
        best.setdefault(entry.base, entry)
    if len(best) < 2:
        return None
    kept = list(best.values())
    tasks = dict.fromkeys(
        (key.task, key.metric) for entry in kept for key in entry.scores if key.candidate in (BEFORE, AFTER)
    )
    ordered = sorted(tasks, key=lambda task: (task != ("", metric), task[0].startswith("slice: "), task[0] != "", task))
    others = {base: sum(entry.base == base for entry in ranked) - 1 for base in best}
    return Leaderboard(ordered, kept, rows, others)


def leaderboards(runs: Sequence[Run]) -> list[Leaderboard]:
    """One for each set of held-out rows and deciding metric on which two bases or more were tuned."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for run in runs:
        if run.decision and (rows := run.outs.get("clean", {}).get(str(PATHS.rows("test")), "")):
            entry = Entry(base_name(run.settings), run.name, run.scores, run.training, run.cost)
            groups.setdefault((rows, str(run.decision["metric"])), []).append(entry)
    boards = [leaderboard(entries, metric, rows) for (rows, metric), entries in groups.items()]
    return [board for board in boards if board]


def base_name(settings: Mapping[str, Any] | Settings) -> str:
    """What a person calls the base: a model of the hub without its revision, or a folder."""
    return str(settings.get("base.hub") or settings.get("base.folder") or "base").partition("@")[0]


def of_bases(keys: Sequence[str]) -> bool:
    """Whether a sweep over these parameters compares bases."""
    return any(key in (f"{BASE}hub", f"{BASE}folder") for key in keys)


def _score(entry: Entry, metric: str) -> Score | None:
    return entry.scores.get(Key(AFTER, "", metric))


def _rank(entry: Entry, metric: str) -> float:
    score = _score(entry, metric)
    assert score
    return score.value if score.lower else -score.value
