"""What the evaluations left, read and put side by side: the same rows in the same order."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.rows.columns import class_columns
from tasks.rows.parquet import read_table

if TYPE_CHECKING:
    from tasks.statistics.f1 import Average

Score = dict[str, Any]

FREE = ("base", "base_system", "base_few_shot")
"""What is to be had without tuning, in every run of a model that writes; an embedding model is asked as `base` alone.
Further baselines are as the settings list them."""

BEFORE = "trained"
"""What train made, before align; evaluated where align is on."""

TUNED = ("adapter", "merged")


@dataclass(frozen=True)
class Candidate:
    """One model's predictions and scores."""

    name: str
    scores: dict[str, Any]
    """scores.json."""
    columns: dict[str, list[Any]]
    """predictions.parquet."""
    benchmarks: dict[str, Any]
    """benchmarks.json; empty where none was asked."""
    samples: list[dict[str, Any]]
    """samples.parquet."""

    @property
    def is_free(self) -> bool:
        """Whether it is to be had without tuning."""
        return bool(self.scores["kind"] == "free")

    @property
    def better(self) -> dict[str, str]:
        """`higher` or `lower` by metric, in the order of evaluate.metrics."""
        names = [name for name in self.columns if name in self.scores["metrics"]]
        return {name: self.scores["metrics"][name]["better"] for name in names}

    def goodness(self, metric: str) -> Any:
        """A number for each row, more being better: the score, or the loss of its reference with its sign turned.

        A loss counts by the row's tokens, so that the mean is that of a token. Rows that did not fit are `nan`.
        """
        values = np.array([np.nan if value is None else value for value in self.columns[metric]], float)
        if self.better[metric] == "higher":
            return values
        tokens = np.array(self.columns[f"{metric}_tokens"], float)
        return -values * tokens / tokens[tokens > 0].mean()

    def scored(self, metric: str) -> "Scored":
        """Its rows by `metric`, to be compared with another's."""
        return scored_rows(self.columns, self.goodness(metric), self.scores["metrics"][metric])

    def part(self, metric: str, rows: Any) -> "Scored":
        """As `scored`, for those rows where the mask `rows` is true: a loss counts by the tokens of these alone."""
        part = self.scored(metric).at(rows)
        if self.better[metric] == "higher":
            return part
        tokens = np.array(self.columns[f"{metric}_tokens"], float)
        return replace(part, values=part.values * tokens[tokens > 0].mean() / tokens[rows & (tokens > 0)].mean())


@dataclass(frozen=True)
class Scored:
    """Rows by one metric."""

    values: Any
    """More being better; `nan` for a row that was not asked."""
    classes: tuple[Any, Any] | None
    """For a score of classes, which is no mean over rows: the classes of each reference and answer (or None)."""
    average: "Average | None" = None
    """Which F1 a score of classes is, where these are JSON lists of any number."""

    def at(self, rows: Any) -> "Scored":
        """Some of the rows, by their indices or a mask."""
        classes = self.classes and (self.classes[0][rows], self.classes[1][rows])
        return Scored(self.values[rows], classes, self.average)


def scored_rows(columns: dict[str, list[Any]], goodness: Any, score: Score) -> Scored:
    """Rows with their `goodness`; `score`: what scores.json says of the metric, which may be one of classes."""
    if (classes := score.get("classes")) is None:
        return Scored(goodness, None)
    truth, answers = (np.array(columns[name], object) for name in class_columns(classes))
    return Scored(goodness, (truth, answers), score.get("average"))


def load_candidates(paths: Paths) -> dict[str, Candidate]:
    """All candidates by name, the free ones first. Raises `InputError` where they were not asked the same rows."""
    folder = paths.data / "evaluation"
    names = sorted(folder_of.name for folder_of in folder.glob("[!.]*") if (folder_of / "scores.json").is_file())
    if missing := [name for name in (*FREE, *TUNED) if name not in names and not is_left_out(folder / name)]:
        raise InputError(f"{folder}: no scores of {', '.join(missing)}; run the stage evaluate first.")
    first = [name for name in (*FREE, BEFORE, *TUNED) if name in names]
    by_name = {name: load_candidate(folder / name) for name in [*first, *(name for name in names if name not in first)]}
    ids = by_name["base"].columns["id"]
    for name, candidate in by_name.items():
        if candidate.columns["id"] != ids or candidate.better != by_name["base"].better:
            raise InputError(
                f"{folder / name}: other rows or metrics than {folder / 'base'}; run the stage evaluate for both again."
            )
    return by_name


def is_left_out(folder: Path) -> bool:
    """Whether the stage evaluate had nothing to ask of the candidate in `folder`, and says so by its settings alone."""
    return (folder / "settings.json").is_file() and not (folder / "scores.json").is_file()


def load_judgements(paths: Paths) -> dict[str, dict[str, Any]]:
    """judged.json by candidate, of those that a judge has judged."""
    files = sorted((paths.data / "judged").glob("[!.]*/judged.json"))
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def load_candidate(folder: Path) -> Candidate:
    """What the evaluation of one candidate left in `folder`, which has its name."""
    benchmarks = folder / "benchmarks.json"
    return Candidate(
        folder.name,
        json.loads((folder / "scores.json").read_text(encoding="utf-8")),
        read_table(folder / "predictions.parquet").to_pydict(),
        json.loads(benchmarks.read_text(encoding="utf-8")) if benchmarks.is_file() else {},
        read_table(folder / "samples.parquet").to_pylist() if benchmarks.is_file() else [],
    )
