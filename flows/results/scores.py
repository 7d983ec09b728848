"""What the terminal and the UI show of the scores and of the proofs that models are what they should be."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flows.bridge import Outcome
from flows.results import durations
from flows.run.pruning import half_way
from tasks.core.paths import PATHS

MERGE, QUANTIZATION = "merge.json", "quantization.json"
"""What the stages write of a model beside it."""

MEASURES = {
    "max_logit_difference": "largest logit difference",
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
    for name, scores in json.loads(PATHS.comparison.read_text())["candidates"].items():
        metric = main if main in scores else next(key for key in scores if key != "slices")
        score = scores[metric]
        row = {
            "candidate": name,
            metric.replace("_", " "): f"{score['value']:.3f}",
            "95 % interval": f"{score['low']:.3f} - {score['high']:.3f}",
            "rows": score["n"],
        }
        others = {name: value for name, value in scores.items() if name not in (metric, "slices")}
        row |= {name.replace("_", " "): f"{value['value']:.3f}" for name, value in others.items()}
        for part, values in scores.get("slices", {}).items():
            row[part.replace("_", " ")] = f"{values[metric]['value']:.3f}"
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
    files = [(PATHS.merged / MERGE, "base with live adapter"), *((path, "merged") for path in quantized)]
    return [
        {"model": path.parent.name, "compared with": original, **_measured(json.loads(path.read_text()))}
        for path, original in files
        if path.is_file()
    ]


def _measured(facts: dict[str, Any]) -> dict[str, Any]:
    return {title: facts[key] for key, title in MEASURES.items() if key in facts}
