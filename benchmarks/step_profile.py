"""`profile`: what a training step on packs spends its time on, beside that of a bare PyTorch loop.

Both train the rows of `train` (benchmarks/trainings.py), with one thread and with two. PyTorch's profiler gives the
seconds of each operator; the rest of the clock is Python, what hands gradients on, and what else the machine does.
"""

import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import train, trainings
from benchmarks.result import Result

GOAL = 1 / 1.3
"""Seconds of processors for each of the bare loop's, on packs with two threads, at most."""

FORM = "packs"
THREADS = (1, 2)

GROUPS = {
    "attention": ("scaled_dot_product",),
    "products of matrices": ("::mm", "::addmm", "::bmm", "mkldnn_linear", "::linear", "::matmul"),
    "cross entropy": ("log_softmax", "nll_loss", "cross_entropy"),
    "optimiser": ("Optimizer.", "::addcdiv_", "::addcmul_", "::lerp_", "::_fused_adam", "_foreach"),
    "copies and fillings": ("::cat", "::copy_", "::fill_", "::clone", "::zero_", "::index", "::where", "::_to_copy"),
}
"""A part of an operator's name -> the group that it belongs to; the first that fits."""

OTHERS = "number by number"
"""The group of all other operators: additions, scalings, activations, norms."""


def measure(full: bool) -> Result:
    """Each way once with each number of threads; `full`: on more rows."""
    configuration = "default" if full else "small"
    with TemporaryDirectory(prefix="temper-") as folder:
        place = Path(folder) / "narrow"
        train.run("make", place, train.ROWS[configuration], trainings.NARROW)
        profiles = {
            f"{way}, {threads} threads": train.run(way, place, threads, module="benchmarks.step_profile")
            for threads in THREADS
            for way in ("bare", "ours")
        }
    ratio = profiles["ours, 2 threads"]["processor"] / profiles["bare, 2 threads"]["processor"]
    detail = {"configuration": configuration, "form": FORM, "profiles": profiles}
    return Result("profile", round(ratio, 3), "x the bare loop's processor", round(GOAL, 3), ratio <= GOAL, detail)


def group(operator: str) -> str:
    """The group of an operator by its name, such as aten::mm."""
    return next((name for name, parts in GROUPS.items() if any(part in operator for part in parts)), OTHERS)


def profiled(way: str, place: Path, threads: int) -> dict[str, Any]:
    """Seconds of processors that training took; by group and by operator, the share of the clock's."""
    from torch.profiler import ProfilerActivity, profile

    trainings.THREADS = threads
    trainings.FORMS = (FORM,)
    profiler, plain = profile(activities=[ProfilerActivity.CPU], acc_events=True), trainings.note

    def note(begins: bool = False) -> None:
        plain(begins)
        if begins:
            profiler.start()
            trainings.STEPS[0] = (time.perf_counter(), time.process_time())  # the profiler's own start does not count

    trainings.note = note
    for _ in trainings.WAYS[way](place):
        profiler.stop()
    (begun, before), (ended, after) = trainings.STEPS[0], trainings.STEPS[-1]
    seconds = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
    groups: dict[str, float] = {}
    for name, spent in seconds.items():
        groups[group(name)] = groups.get(group(name), 0.0) + spent
    clock = ended - begun
    groups["outside of operators"] = max(clock - sum(seconds.values()), 0.0)
    largest = sorted(seconds, key=lambda name: -seconds[name])[:12]
    return {
        "processor": round(after - before, 2),
        "clock": round(clock, 2),
        "shares": {name: round(groups[name] / clock, 3) for name in sorted(groups, key=lambda name: -groups[name])},
        "operators": {name: round(seconds[name] / clock, 3) for name in largest},
    }


def main() -> None:
    """One way, in this process: WAY PLACE THREADS."""
    way, place, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    os.environ["KINETO_LOG_LEVEL"] = "5"  # nothing of the profiler's own on the last line
    if way.startswith("ours"):
        trainings.begin_as_stage("benchmarks.step_profile")
    print(json.dumps(profiled(way, place, threads)))


if __name__ == "__main__":
    main()
