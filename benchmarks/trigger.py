"""`trigger`: seconds from `temper.data.changed` to the first task of the run that it starts, with a warm worker.

Every stage of those runs is cached, so that nothing but the way there counts; what stays behind is counted too.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from statistics import median
from typing import Any

import psutil

from benchmarks.checkout import Checkout, Failed, checkout
from benchmarks.result import Result
from benchmarks.server import ask, prefect_server

GOAL = 10.0
"""Seconds."""

TIMES, TIMES_FULL = 3, 100
"""Runs, in the small configuration and in the full one."""

PATIENCE = 300.0
"""Seconds until a run that does not end counts as failed."""


def measure(full: bool) -> Result:
    """Run everything once, then let new data start cached runs, one after the other."""
    with prefect_server() as url, checkout(full=False, server=url) as place:
        place.temper("run")
        place.run("git", "add", "--all")
        who = ["-c", "user.name=temper", "-c", "user.email=temper@localhost"]
        place.run("git", *who, "commit", "--quiet", "--message", "run")
        place.temper("deploy")
        with _worker(place, url) as worker:
            waits, memory = [], []
            for number in range(TIMES_FULL if full else TIMES):
                waits.append(_triggered(place, url, number))
                memory.append(sum(_memory(process) for process in [worker, *worker.children()]) / 2**20)
            left = len(list((place.root / ".dvc/tmp/runs").glob("*")))
    value = median(waits)
    detail = {
        "runs": len(waits),
        "slowest_s": round(max(waits), 2),
        "worker_memory_mib": [round(memory[0]), round(memory[-1])],
        "worktrees_left": left,
    }
    return Result("trigger", round(value, 2), "s, event to first task", GOAL, value <= GOAL and left == 0, detail)


@contextmanager
def _worker(place: Checkout, url: str) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.command", "worker"],
        cwd=place.root,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until(lambda: any(one["status"] == "ONLINE" for one in ask(url, "work_pools/temper/workers/filter")))
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _triggered(place: Checkout, url: str, number: int) -> float:
    """Add data; return the seconds from the event to the start of the first task of its run, once that has ended."""
    file = place.root / "data/arrived.txt"
    file.write_text(f"{number}\n")
    seen = {run["id"] for run in ask(url, "flow_runs/filter")}
    place.temper("data", "add", "data/arrived.txt")

    def ended() -> dict[str, Any] | None:
        fresh = [run for run in ask(url, "flow_runs/filter", sort="START_TIME_DESC") if run["id"] not in seen]
        return next((run for run in fresh if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED"}), None)

    run = _until(ended)
    if run["state_type"] != "COMPLETED":
        raise Failed(f"the run ended {run['state_name']}: {run['state']['message']}")
    where = {"id": {"any_": [run["id"]]}}
    started = min(_moment(task["start_time"]) for task in ask(url, "task_runs/filter", flow_runs=where))
    events = ask(url, "events/filter", filter={"event": {"name": ["temper.data.changed"]}, "order": "DESC"})["events"]
    return started - _moment(events[0]["occurred"])


def _memory(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _until(answered: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (answer := answered()):
        if time.monotonic() > deadline:
            raise Failed(f"nothing after {PATIENCE:.0f} s")
        time.sleep(0.2)
    return answer
