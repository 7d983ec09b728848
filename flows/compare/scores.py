"""Scores of one run by candidate, task and metric, as comparison.json has them, or as a run published its numbers."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tasks.core.numbers import metric_name

LEAVES = ("value", "low", "high", "n")


class Key(NamedTuple):
    """What was scored."""

    candidate: str
    task: str
    """`slice: NAME`, or the name of a benchmark; "" for all held-out rows."""
    metric: str

    def column(self, names: Mapping[str, str]) -> str:
        """As a column of a table is called; `names`: of candidates that people read otherwise."""
        task = f"{self.task}, " if self.task else ""
        return f"{names.get(self.candidate, self.candidate)} {task}{metric_name(self.metric)}"


class Score(NamedTuple):
    """A score with its 95 % interval and the rows that it is of; NaN and 0 where they are not known."""

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    lower: bool = False
    """Whether less is better."""


Scores = dict[Key, Score]


def is_whole(document: Mapping[str, Any]) -> bool:
    """Whether comparison.json is of a run that trained every weight; of older runs it says nothing of that."""
    return bool(document.get("method") == "full")


def from_comparison(document: Mapping[str, Any]) -> Scores:
    """Scores of comparison.json, whoever wrote it: what is no score is left out."""
    scores: Scores = {}
    for candidate, by_metric in _objects(document.get("candidates")):
        scores |= _scores(candidate, "", by_metric)
        for name, part in _objects(by_metric.get("slices")):
            scores |= _scores(candidate, f"slice: {name}", part)
    for candidate, tasks in _objects(document.get("benchmarks")):
        for task, by_metric in _objects(tasks):
            scores |= _scores(candidate, task, by_metric)
    return scores


def from_numbers(numbers: Mapping[str, float], candidates: tuple[str, ...]) -> Scores:
    """The same for `candidates`, of numbers by their dotted paths: names may hold dots themselves."""
    document: dict[str, Any] = {"candidates": {}, "benchmarks": {}}
    for candidate in candidates:
        own = dict(_below(f"candidates.{candidate}.", numbers))
        metrics = {path.rpartition(".")[0] for path in own if not path.startswith("slices.") and _leaf(path)}
        top = document["candidates"].setdefault(candidate, {"slices": {}})
        for path, value in own.items():
            head, _, leaf = path.rpartition(".")
            if head in metrics:
                top.setdefault(head, {})[leaf] = value
            elif path.startswith("slices.") and (metric := _ending(head, metrics)):
                name = head.removeprefix("slices.").removesuffix(f".{metric}")
                top["slices"].setdefault(name, {}).setdefault(metric, {})[leaf] = value
        for path, value in _below(f"benchmarks.{candidate}.", numbers):
            task, metric, leaf = ([""] * 3 + path.rsplit(".", 2))[-3:]
            tasks = document["benchmarks"].setdefault(candidate, {})
            tasks.setdefault(task, {}).setdefault(metric, {})[leaf] = value
    return from_comparison(document)


def _scores(candidate: str, task: str, by_metric: Mapping[str, Any]) -> Scores:
    return {
        Key(candidate, task, metric): Score(
            score["value"],
            _or(score.get("low"), math.nan),
            _or(score.get("high"), math.nan),
            int(_or(score.get("n"), 0)),
            score.get("better") == "lower",
        )
        for metric, score in _objects(by_metric)
        if _number(score.get("value"))
    }


def _or(value: Any, otherwise: float) -> float:
    return float(value) if _number(value) else otherwise


def _objects(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Those parts of an object that are objects themselves."""
    if isinstance(value, Mapping):
        yield from ((str(name), part) for name, part in value.items() if isinstance(part, Mapping))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _below(prefix: str, numbers: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    return ((path.removeprefix(prefix), value) for path, value in numbers.items() if path.startswith(prefix))


def _leaf(path: str) -> bool:
    return path.rpartition(".")[2] in LEAVES


def _ending(head: str, metrics: set[str]) -> str:
    """The longest of `metrics` with which a path ends; "" for none."""
    return max((metric for metric in metrics if head.endswith(f".{metric}")), key=len, default="")
