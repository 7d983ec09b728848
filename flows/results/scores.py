"""What the terminal and the UI show of the scores and of the proofs that models are what they should be."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flows.bridge import Outcome
from flows.results import durations
from flows.run.pruning import half_way
from tasks.core.numbers import metric_name, shown
from tasks.core.paths import PATHS
from tasks.decide.words import TRAINED, WHOLE, candidate_name
from tasks.evaluate.metrics.registry import explained
from tasks.evaluate.settings import Metric

MERGE, QUANTIZATION = "merge.json", "quantization.json"
"""What the stages write of a model beside it."""

MEASURES = {
    "max_logit_difference": "largest logit difference",
    "mean_cosine_distance": "mean cosine distance",
    "max_cosine_distance": "largest cosine distance",
    "kl_per_token": "nats a token",
    "same_greedy_token": "same next token",
    "same_stops": "same stops",
    "tokens": "tokens",
}
"""Keys of merge.json and quantization.json, and their titles."""

NUMBERS, HALF_WAY, SECONDS = "numbers", "loss half way", "seconds."
"""The artifact with all numbers of a run; what the training loss half way is called there; and what the seconds of a
stage begin with."""


def rows() -> list[dict[str, Any]]:
    """One row a candidate: the metric that decides, its 95 % interval and number of rows; then all other metrics, and
    the slices by the metric that decides."""
    table = []
    decision = json.loads(PATHS.decided.read_text()) if PATHS.decided.is_file() else {}
    main = decision.get("metric", "exact_match")
    whole = _tuned_whole()
    for name, scores in json.loads(PATHS.comparison.read_text())["candidates"].items():
        metric = main if main in scores else next(key for key in scores if key != "slices")
        score = scores[metric]
        row = {
            "candidate": candidate_name(name, whole=whole),
            metric_name(metric): _shown(score, "value"),
            "95 % interval": f"{_shown(score, 'low')} - {_shown(score, 'high')}",
            "rows": shown(score["n"]),
        }
        others = {name: value for name, value in scores.items() if name not in (metric, "slices")}
        row |= {metric_name(name): _shown(value, "value") for name, value in others.items()}
        for part, values in scores.get("slices", {}).items():
            row[part.replace("_", " ")] = _shown(values[metric], "value")
        table.append(row)
    return table


def numbers(outcomes: Mapping[str, Outcome] | None = None) -> list[dict[str, Any]]:
    """One row a number of the comparison, by its dotted path, as sweeps name it; the training loss half way; and the
    seconds that each stage took which ran.
    """
    values = dict(_leaves(json.loads(PATHS.comparison.read_text())))
    if (loss := half_way()) is not None:
        values[HALF_WAY] = loss
    values |= {f"{SECONDS}{stage}": seconds for stage, seconds in durations.ran(outcomes or {}).items()}
    return [{"number": path, "value": value} for path, value in values.items()]


def _shown(score: dict[str, Any], key: str) -> str:
    """A share with three decimals, so that they stand below each other; a perplexity as it is."""
    return shown(score[key]) if score.get("better") == "lower" else f"{score[key]:.3f}"


def legend() -> list[str]:
    """What the metrics of the evaluation are, a line each, and what no name in the table says by itself."""
    if not (file := PATHS.evaluation("base") / "settings.json").is_file():
        return []
    try:
        metrics = [Metric.model_validate(one) for one in json.loads(file.read_text())["metrics"]]
    except (ValueError, KeyError, TypeError):  # of another version, whose metrics are not those of this one
        return []
    lines = [f"{metric_name(metric.column)}: {explained(metric)}" for metric in metrics]
    if _tuned_whole():
        lines.append(f"{WHOLE}: the model as it was trained (in settings: {TRAINED}); merged: as merge wrote it")
    return lines


def _tuned_whole() -> bool:
    """Whether every weight was trained, by what merge wrote of it."""
    file = PATHS.merged / MERGE
    return file.is_file() and json.loads(file.read_text()).get("method") == "full"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in an object of objects, each by the keys that lead to it."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def equivalence() -> list[dict[str, Any]]:
    """One row a model: how far it is from what it was made of. What is beyond its limit was not written."""
    quantized = sorted(PATHS.schemes.glob(f"*/{QUANTIZATION}"))
    files = [
        (PATHS.merged / MERGE, "the trained model" if _tuned_whole() else "base with live adapter"),
        *((path, "merged") for path in quantized),
    ]
    return [
        {"model": path.parent.name, "compared with": original, **_measured(json.loads(path.read_text()))}
        for path, original in files
        if path.is_file()
    ]


def _measured(facts: dict[str, Any]) -> dict[str, Any]:
    return {title: facts[key] for key, title in MEASURES.items() if key in facts}
