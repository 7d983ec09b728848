"""`peers`: other projects beside temper on the same rows and weights, as far as their environments are there.

`python -m benchmarks.peers.environments FOLDER` makes these; TEMPER_PEERS names FOLDER. Training is LoRA of every
linear layer but the head on 5 million weights, in tokens a second as shares of the bare loop's; merging is a soup
and TIES of two models; evaluation is that of `benchmarks.evaluate`. Ways take turns, each in a process of its own;
medians count.
"""

import json
import shutil
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import evaluate, trainings
from benchmarks.child import measured
from benchmarks.peers import environments, merging, training
from benchmarks.result import Result
from benchmarks.train import WAITING
from benchmarks.train import run as run_way

ROWS = {"small": 32, "default": 48}
ROUNDS = {"small": 1, "default": 3}

GOAL = 1.0
"""Seconds of temper for each of the fastest peer's, in training on rows and on packs."""


def measure(full: bool) -> Result:
    """What is there is measured; a peer without an environment is named. Without any nothing is compared."""
    configuration = "default" if full else "small"
    there = {peer: python for peer in environments.PACKAGES if (python := environments.python(peer))}
    with TemporaryDirectory(prefix="temper-") as folder:
        shares = _training(Path(folder) / "train", there, configuration)
        merged = _merging(Path(folder) / "merge", there["mergekit"], configuration) if "mergekit" in there else None
        answered = (
            _evaluating(Path(folder) / "evaluate", there["lighteval"], configuration) if "lighteval" in there else None
        )
    ratios = [
        share / shares["temper"][form]
        for peer, forms in shares.items()
        if peer in training.PEERS
        for form, share in forms.items()
    ]
    worst = round(max(ratios), 3) if ratios else None
    detail = {
        "configuration": configuration,
        "missing": [peer for peer in environments.PACKAGES if peer not in there],
        "shares_of_the_bare_loop_by_seconds_of_processors": shares,
        "merging": merged,
        "evaluating": answered,
    }
    reached = worst is not None and worst <= GOAL
    return Result("peers", worst, "x the fastest peer's seconds of training", GOAL, reached, detail)


def _training(place: Path, there: dict[str, Path], configuration: str) -> dict[str, dict[str, float]]:
    """Tokens a second of processors of each way and form, as shares of the bare loop's."""
    run_way("make", place, ROWS[configuration], trainings.NARROW)
    _plain(place)
    spent: dict[str, dict[str, list[float]]] = {}
    for _ in range(ROUNDS[configuration]):
        for way, name in (("bare", "bare"), ("ours", "temper"), ("trl", "trl")):
            for form, seconds in run_way(way, place)["processor"].items():
                spent.setdefault(name, {}).setdefault(form, []).append(seconds)
        for peer in training.PEERS:
            for form in training.FORMS[peer] if peer in there else ():
                one = measured("benchmarks.peers.training", peer, form, place, python=there[peer], **WAITING)
                spent.setdefault(peer, {}).setdefault(form, []).append(one["processor"])
    medians = {name: {form: median(each) for form, each in forms.items()} for name, forms in spent.items()}
    return {
        name: {form: round(medians["bare"][form] / seconds, 3) for form, seconds in forms.items()}
        for name, forms in medians.items()
    }


def _plain(place: Path) -> None:
    """Rows, weights and tokenizer in the forms that peers read."""
    with (place / "rows.jsonl").open("w") as file:
        for row in trainings.rows_of(place, "rows"):
            columns = {name: [int(value) for value in row[name]] for name in ("input_ids", "labels")}
            file.write(json.dumps(columns) + "\n")
    shutil.copytree(place / "base" / "model", place / "model")
    shutil.copytree(place / "rows" / "data" / "templated" / "tokenizer", place / "tokenizer")
    shutil.copytree(place / "tokenizer", place / "model", dirs_exist_ok=True)


def _merging(place: Path, mergekit: Path, configuration: str) -> dict[str, Any]:
    """Per method: seconds and peak of both, and how far what they write differs."""
    place.mkdir()
    measured("benchmarks.peers.merging", "make", place, configuration)
    methods: dict[str, Any] = {}
    for method in merging.METHODS:
        runs: dict[str, list[dict[str, float]]] = {"temper": [], "mergekit": []}
        for _ in range(ROUNDS[configuration]):
            for way, python in (("temper", sys.executable), ("mergekit", mergekit)):
                runs[way].append(measured("benchmarks.peers.merging", way, place, method, python=python, **WAITING))
        methods[method] = {
            way: {name: round(median(run[name] for run in each), 2) for name in ("seconds", "processor")}
            | {"peak_mib": round(max(run["peak"] for run in each) / 2**20)}
            for way, each in runs.items()
        }
        methods[method] |= measured("benchmarks.peers.merging", "difference", place, method, **WAITING)
    return methods


def _evaluating(place: Path, lighteval: Path, configuration: str) -> dict[str, Any]:
    """Per piece of work: seconds of processors of each way, and whether all give the same answers."""
    place.mkdir()
    evaluate.run("make", place, str(evaluate.ITEMS[configuration]))
    rounds = [
        {"temper": evaluate.run("temper", place), "lm_eval": evaluate.run("lm_eval", place)}
        | {"lighteval": measured("benchmarks.peers.evaluating", place, python=lighteval, **WAITING)}
        for _ in range(ROUNDS[configuration])
    ]
    return {
        work: {way: round(median(one[way][work]["seconds"] for one in rounds), 2) for way in rounds[0]}
        | {
            "same": all(
                way[work]["answers"] == rounds[0]["temper"][work]["answers"] for one in rounds for way in one.values()
            )
        }
        for work in evaluate.WORK
    }
