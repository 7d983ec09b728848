"""Bases side by side on the same rows: base and tuned by task, with intervals, and what the tuning took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.compare.runs import TRAINING, Run, Settings
from flows.compare.scores import Key, Score, Scores, from_numbers
from flows.results.scores import SECONDS

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


def cells(board: Leaderboard) -> list[dict[str, Any]]:
    """A line a base, as a table of Prefect has it."""
    return [
        {
            "base": entry.base,
            "run": entry.run,
            **{
                f"{' '.join(filter(None, task))}, {when}": ""
                if score is None
                else f"{score.value:.3f} ({score.low:.3f} - {score.high:.3f})"
                for task in board.tasks
                for when, score in zip(("base", "tuned"), board.cell(entry, task), strict=True)
            },
            "training seconds": entry.training,
            "cost": entry.cost,
        }
        for entry in board.entries
    ]


def numbers(score: Score | None) -> list[float | None] | None:
    """Value, low and high; None where there is none."""
    return None if score is None else [value if value == value else None for value in score[:3]]  # NaN is not itself


def leaderboard(entries: Sequence[Entry], metric: str, rows: str = "", *, lower: bool = False) -> Leaderboard | None:
    """The best run of each base by `metric` on the held-out rows; None for fewer than two bases.

    `lower`: whether less is better also where the scores do not say so.
    """

    def rank(entry: Entry) -> float:
        score = entry.scores[Key(AFTER, "", metric)]
        return score.value if lower or score.lower else -score.value

    ranked = sorted((entry for entry in entries if Key(AFTER, "", metric) in entry.scores), key=rank)
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
        if run.test_rows:
            entry = Entry(base_name(run.settings), run.name, run.scores, run.training, run.cost)
            groups.setdefault((run.test_rows, str(run.decision["metric"])), []).append(entry)
    boards = [leaderboard(entries, metric, rows) for (rows, metric), entries in groups.items()]
    return [board for board in boards if board]


def of_trials(
    trials: Sequence[tuple[str, Settings, Mapping[str, float]]], metric: str, maximize: bool, price: float | None
) -> Leaderboard | None:
    """Of a sweep's trials: name, values and published numbers of each; `metric`: the dotted path of its score.

    A trial that found its training done has no seconds of it.
    """
    entries = []
    for name, values, published in trials:
        known = [published[number] for stage in TRAINING if (number := f"{SECONDS}{stage}") in published]
        training = sum(known) if known else None
        cost = training / 3600 * price if price and training is not None else None
        entries.append(Entry(base_name(values), name, from_numbers(published, (BEFORE, AFTER)), training, cost))
    own = metric.removeprefix(f"candidates.{AFTER}.").removesuffix(".value")
    metrics = [key.metric for entry in entries for key in entry.scores if key.candidate == AFTER and not key.task]
    by = own if own in metrics else next(iter(metrics), "")
    return leaderboard(entries, by, lower=not maximize)


def base_name(settings: Mapping[str, Any] | Settings) -> str:
    """What a person calls the base: a model of the hub without its revision, or a folder."""
    named = settings.get("base.hub") or settings.get("base.text") or settings.get("base.folder") or "base"
    return str(named).partition("@")[0]


def of_bases(keys: Sequence[str]) -> bool:
    """Whether a sweep over these parameters compares bases."""
    return any(key in (f"{BASE}hub", f"{BASE}folder") for key in keys)
