"""Candidates compared with each other on the rows that both were asked."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.progress import counting
from tasks.decide.evidence import BEFORE, Candidate, Scored, scored_rows
from tasks.rows.columns import class_columns
from tasks.rows.label_lists import as_sets
from tasks.rows.parquet import read_table
from tasks.statistics.f1 import compare_f1, numbered, numbered_sets
from tasks.statistics.paired import compare, holm

Comparison = dict[str, Any]

REFERENCE = "merged"
"""What quantised models are compared with."""


def pairs(candidates: dict[str, Candidate]) -> list[tuple[str, str]]:
    """Who is compared with whom: all but the free ones with each of these, and with the merged model.

    What align made is compared with what train had made, in the place of that with the merged model.
    """
    free = [name for name, candidate in candidates.items() if candidate.is_free]
    others = [name for name in candidates if name not in free]
    steps = [("adapter", BEFORE)] if BEFORE in candidates else []
    against = [(name, one) for name in others for one in free]
    return against + steps + [(name, REFERENCE) for name in others if name not in (BEFORE, REFERENCE)]


def compare_candidates(candidates: dict[str, Candidate], level: float, resamples: int) -> list[Comparison]:
    """Every pair by every metric; `p_adjusted` holds over all metrics of a pair (Holm)."""
    comparisons = []
    for name, against in counting("decide: compared", pairs(candidates), "pairs"):
        family: list[Comparison] = []
        for metric, better in candidates[name].better.items():
            family.append(
                {"candidate": name, "against": against, "metric": metric, "better": better}
                | _compare_scores(candidates[name].scored(metric), candidates[against].scored(metric), level, resamples)
            )
        for comparison, p in zip(family, holm([comparison["p"] for comparison in family]), strict=True):
            comparison["p_adjusted"] = p
        comparisons += family
    return comparisons


def compare_slices(
    candidates: dict[str, Candidate], name: str, metric: str, level: float, resamples: int
) -> list[Comparison]:
    """The candidate `name` against the base in each slice; p adjusted over the slices (Holm)."""
    tuned, base = candidates[name], candidates["base"]
    one, two = tuned.scored(metric), base.scored(metric)
    comparisons: list[Comparison] = []
    for dimension, values in base.scores["slices"].items():
        labels = np.array(base.columns[dimension], object)
        for value in values:
            rows = (labels == value) & ~np.isnan(one.values) & ~np.isnan(two.values)
            if rows.any():
                comparisons.append(
                    {"slice": f"{dimension}: {value}", "better": candidates[name].better[metric]}
                    | _compare_scores(tuned.part(metric, rows), base.part(metric, rows), level, resamples)
                )
    for comparison, p in zip(comparisons, holm([comparison["p"] for comparison in comparisons]), strict=True):
        comparison["p_adjusted"] = p
    return comparisons


def compare_benchmarks(before: Candidate, after: Candidate, level: float, resamples: int) -> list[Comparison]:
    """Benchmarks that both were asked: what tuning made of them, by task and metric."""
    comparisons = []
    for task in sorted(set(before.benchmarks) & set(after.benchmarks)):
        same = before.benchmarks[task]["prompts"] == after.benchmarks[task]["prompts"]
        for metric, score in before.benchmarks[task]["metrics"].items():
            sign = -1 if score["better"] == "lower" else 1
            one, two = (_by_number(candidate, task, metric) for candidate in (after, before))
            numbers = sorted(set(one) & set(two))
            if not numbers:  # a metric of all questions together, of which none has a part
                continue
            comparison = compare(
                [sign * one[number] for number in numbers],
                [sign * two[number] for number in numbers],
                level,
                resamples,
            )
            values = {"before": score["value"], "after": after.benchmarks[task]["metrics"][metric]["value"]}
            ratio = {"ratio": True} if score.get("ratio") else {}
            comparisons.append(
                {
                    **ratio,
                    "task": task,
                    "metric": metric,
                    "better": score["better"],
                    "same": same,
                    **values,
                    **comparison,
                }
            )
    return comparisons


def compare_with_best(candidate: Candidate, best: Path, metric: str, level: float, resamples: int) -> Comparison | None:
    """`candidate` against the run promoted last; None where there is none, or it was asked no row in common."""
    if not best.is_file():
        return None
    table = read_table(best).to_pydict()
    score = candidate.scores["metrics"][metric]
    classes = score.get("classes")
    if not {metric, *(class_columns(classes) if classes else ())} <= set(table):
        return None
    earlier = scored_rows(table, np.array(table[metric], float), score)
    mine = {row: at for at, row in enumerate(candidate.columns["id"])}
    pairs = [(mine[row], at) for at, row in enumerate(table["id"]) if row in mine]
    if not pairs:
        return None
    rows, others = (list(part) for part in zip(*pairs, strict=True))
    result = _compare_scores(candidate.scored(metric).at(rows), earlier.at(others), level, resamples)
    names = {"candidate": candidate.name, "against": "best", "metric": metric, "better": candidate.better[metric]}
    return {**names, **result} if result else None


def _compare_scores(one: Scored, two: Scored, level: float, resamples: int) -> Comparison:
    """Rows that only one of them could be asked count by the loss of none: they are left out, and counted. Nothing
    where no row is left."""
    both = ~(np.isnan(one.values) | np.isnan(two.values))
    if not both.any():
        return {}
    one, two, left_out = one.at(both), two.at(both), int((~both).sum())
    if one.classes and two.classes:
        columns = (*one.classes, two.classes[1])
        numbers = numbered_sets(*map(as_sets, columns)) if one.average else numbered(*columns)
        compared = compare_f1(*numbers, level=level, resamples=resamples, average=one.average or "macro")
        return {**compared, "left_out": left_out}
    return {**compare(one.values, two.values, level, resamples), "left_out": left_out}


def _by_number(candidate: Candidate, task: str, metric: str) -> dict[int, float]:
    rows = [row for row in candidate.samples if row["task"] == task]
    scores = {row["number"]: json.loads(row["scores"]) for row in rows}
    return {number: score[metric] for number, score in scores.items() if metric in score}
