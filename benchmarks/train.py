"""`train`: tokens a second of LoRA on rows and on packs, as a share of a bare PyTorch loop on the same rows.

The bare loop is a model with peft's LoRA, torch's AdamW, batches in the order of the file, and nothing else. trl's own
trainer is measured beside it. Where the processor computes in bfloat16 the stage does so too, of models that gain by
it: then it is measured on a wider one. Each way is a process of its own, in turn; medians count. So does the time from
the start of a process to the end of its first step, where an earlier training was like it; that of the first one, which
tries what passes take of memory, is told beside it.
"""

import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.child import measured
from benchmarks.result import Result
from benchmarks.trainings import FORMS, NARROW, WIDE
from tasks.core.fixed import FIXED

GOAL = 0.9
"""Share of the bare loop's tokens a second, at least, with rows and with packs."""

GOAL_BFLOAT16 = 2.0
"""The same with rows in bfloat16, where there is hardware for it, of the loop's in float32."""

GOAL_START = 1.1
"""Seconds to the end of the first step for each of the bare loop's, at most."""

WAITING = {name: FIXED[name] for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
"""How threads wait for each other, for every way alike: without it busy cores slow down those that spin by chance."""

ROWS = {"small": 32, "default": 48}
ROUNDS = {"small": 2, "default": 4}
"""The first of them is the first training, whose start counts apart."""


def measure(full: bool) -> Result:
    """Ways in turn, after a first process that writes rows and model, and fills the disk's cache."""
    configuration = "default" if full else "small"
    with TemporaryDirectory(prefix="temper-") as folder:
        narrow = _turns(Path(folder) / "narrow", NARROW, ["bare", "ours", "trl"], configuration)
        wide = _turns(Path(folder) / "wide", WIDE, ["bare", "ours_auto"], configuration) if bfloat16() else None
    start = narrow["seconds_to_first_step"]["ours"] / narrow["seconds_to_first_step"]["bare"]
    shares = narrow["shares_of_the_bare_loop"]
    worst = min(shares["ours_rows"], shares["ours_packs"])
    reached = worst >= GOAL and start <= GOAL_START
    if wide:
        reached &= wide["shares_of_the_bare_loop"]["ours_auto_rows"] >= GOAL_BFLOAT16
    detail = {"configuration": configuration, **narrow, "start_x_bare": round(start, 2), "bfloat16": wide}
    return Result("train", round(1 / worst, 3), "x the bare loop's seconds", round(1 / GOAL, 3), reached, detail)


def _turns(place: Path, width: int, ways: list[str], configuration: str) -> dict[str, Any]:
    """What each way takes on a model of `width`, medians of its turns."""
    tokens = run("make", place, ROWS[configuration], width)["tokens"]
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(ROUNDS[configuration]):
        for way in ways:
            rounds[way].append(run(way, place))
    starts = {way: median(one["start"] for one in each_round[1:]) for way, each_round in rounds.items()}
    seconds, processor = (
        {
            way: {form: median(one[name][form] for one in each_round) for form in FORMS}
            for way, each_round in rounds.items()
        }
        for name in ("seconds", "processor")
    )
    shares, calm = (
        {f"{way}_{form}": round(kind["bare"][form] / kind[way][form], 3) for way in ways for form in FORMS}
        for kind in (seconds, processor)
    )
    return {
        "tokens": tokens,
        "shares_of_the_bare_loop": shares,
        "by_seconds_of_processors": calm,
        "tokens_a_second": {
            way: {form: round(tokens / spent) for form, spent in forms.items()} for way, forms in seconds.items()
        },
        "seconds_to_first_step": {way: round(spent, 1) for way, spent in starts.items()},
        "seconds_to_first_step_of_the_first_training": {
            way: round(each_round[0]["start"], 1) for way, each_round in rounds.items()
        },
        "processor_to_first_step": {
            way: [round(each["first_processor"], 1) for each in each_round] for way, each_round in rounds.items()
        },
    }


def bfloat16() -> bool:
    """Whether this processor has instructions for it."""
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else False


def run(way: str, place: Path, *numbers: int, module: str = "benchmarks.trainings") -> dict[str, Any]:
    """What a way of `module` found, and `start`: seconds from its start to the end of its first step."""
    begun = time.perf_counter()
    values = measured(module, way, place, *numbers, **WAITING)
    return {**values, "start": values.get("first", begun) - begun}
