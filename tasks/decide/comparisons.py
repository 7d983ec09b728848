"""Candidates compared with each other on the rows that both were asked."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.progress import counting
from tasks.decide.evidence import FREE, Candidate
from tasks.statistics.paired import compare, holm

Comparison = dict[str, Any]

REFERENCE = "merged"
"""What quantised models are compared with."""


def pairs(names: list[str]) -> list[tuple[str, str]]:
    """Who is compared with whom: all but the free ones with each of these, and with the merged model."""
    against = [(name, free) for name in names if name not in FREE for free in FREE]
    return against + [(name, REFERENCE) for name in names if name not in (*FREE, REFERENCE)]


def compare_candidates(candidates: dict[str, Candidate], level: float, resamples: int) -> list[Comparison]:
    """Every pair by every metric; `p_adjusted` holds over all metrics of a pair (Holm)."""
    comparisons = []
    for name, against in counting("decide: compared", pairs(list(candidates)), "pairs"):
        family: list[Comparison] = []
        for metric, better in candidates[name].better.items():
            one, two = candidates[name].goodness(metric), candidates[against].goodness(metric)
            family.append(
                {"candidate": name, "against": against, "metric": metric, "better": better}
                | _compare_scores(one, two, level, resamples)
            )
        for comparison, p in zip(family, holm([comparison["p"] for comparison in family]), strict=True):
            comparison["p_adjusted"] = p
        comparisons += family
    return comparisons


def compare_slices(
    candidates: dict[str, Candidate], name: str, metric: str, level: float, resamples: int
) -> list[Comparison]:
    """The candidate `name` against the base in each slice; p adjusted over the slices (Holm)."""
    one, two = candidates[name].goodness(metric), candidates["base"].goodness(metric)
    comparisons: list[Comparison] = []
    for dimension, values in candidates["base"].scores["slices"].items():
        labels = np.array(candidates["base"].columns[dimension], object)
        for value in values:
            rows = (labels == value) & ~np.isnan(one) & ~np.isnan(two)
            if rows.any():
                comparisons.append(
                    {"slice": f"{dimension}: {value}", "better": candidates[name].better[metric]}
                    | _compare_scores(one[rows], two[rows], level, resamples)
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
            comparison = compare(
                [sign * one[number] for number in numbers],
                [sign * two[number] for number in numbers],
                level,
                resamples,
            )
            values = {"before": score["value"], "after": after.benchmarks[task]["metrics"][metric]["value"]}
            comparisons.append(
                {"task": task, "metric": metric, "better": score["better"], "same": same, **values, **comparison}
            )
    return comparisons


def compare_with_best(candidate: Candidate, best: Path, metric: str, level: float, resamples: int) -> Comparison | None:
    """`candidate` against the run promoted last; None where there is none, or it was asked no row in common."""
    import pyarrow.parquet as pq

    if not best.is_file():
        return None
    table = pq.read_table(best).to_pydict()
    if metric not in table:
        return None
    earlier = dict(zip(table["id"], table[metric], strict=True))
    mine = dict(zip(candidate.columns["id"], candidate.goodness(metric), strict=True))
    shared = [row for row in mine if earlier.get(row) is not None and not np.isnan(mine[row])]
    if not shared:
        return None
    one, two = [mine[row] for row in shared], [earlier[row] for row in shared]
    names = {"candidate": candidate.name, "against": "best", "metric": metric, "better": candidate.better[metric]}
    return {**names, **compare(one, two, level, resamples)}


def _compare_scores(one: Any, two: Any, level: float, resamples: int) -> Comparison:
    """Rows that only one of them could be asked count by the loss of none: they are left out, and counted."""
    both = ~(np.isnan(one) | np.isnan(two))
    return {**compare(one[both], two[both], level, resamples), "left_out": int((~both).sum())}


def _by_number(candidate: Candidate, task: str, metric: str) -> dict[int, float]:
    rows = [row for row in candidate.samples if row["task"] == task]
    scores = {row["number"]: json.loads(row["scores"]) for row in rows}
    return {number: score[metric] for number, score in scores.items() if metric in score}
