"""`trigger`: seconds from `temper.data.changed` to the first task of the run that it starts, with a warm worker.

Every stage of those runs is cached, so that nothing but the way there counts. More such runs are queued at once
afterwards: the memory of server and worker must not grow with them, and nothing of them may stay behind. Many runs go
on a PostgreSQL where one is installed, as docs/faults.md advises.
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
from benchmarks.postgres import postgres, programs
from benchmarks.result import Result
from benchmarks.server import Server, ask, running

GOAL = 10.0
"""Seconds."""

TIMED, TIMED_FULL = 3, 10
"""Runs that an event starts, one after the other; the first of each size: the small configuration."""

QUEUED, QUEUED_FULL = 3, 90
"""Runs that are queued at once after them."""

GROWTH = 1.1
"""Memory of the last quarter of the runs over that of the second, at most."""

PATIENCE = 300.0
"""Seconds without an end of a run until the benchmark counts as failed."""

TO_END = 60.0
"""Seconds that the worker has to end."""

ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


def measure(full: bool) -> Result:
    """Run everything once, then let new data start cached runs, one after the other, and queue more."""
    with _server(full) as (server, database), checkout(full=False, server=server.url) as place:
        place.temper("run")
        place.run("git", "add", "--all")
        who = ["-c", "user.name=temper", "-c", "user.email=temper@localhost"]
        place.run("git", *who, "commit", "--quiet", "--message", "run")
        place.temper("deploy")
        with _worker(place, server.url) as worker:
            alone = len(worker.children(recursive=True))
            waits, memory = [], []
            for number in range(TIMED_FULL if full else TIMED):
                waits.append(_triggered(place, server.url, number))
                memory.append((int(worker.memory_info().rss), server.memory()))
            memory += _queued(server, worker, QUEUED_FULL if full else QUEUED)
            _until(lambda: len(worker.children(recursive=True)) <= alone)
            left = [path.name for path in (place.root / ".dvc/tmp/runs").glob("*")]
            left += [path.name for path in (place.root / ".dvc/cache/running").glob("*")]
            ended = _ended(worker)
    value = median(waits)
    growth = {name: _growth([sample[which] for sample in memory]) for which, name in enumerate(("worker", "server"))}
    detail = {
        "database": database,
        "runs": len(memory),
        "slowest_s": round(max(waits), 2),
        **{f"{name}_mib": [_mib(memory[0][which]), _mib(memory[-1][which])] for which, name in enumerate(growth)},
        **{f"{name}_growth": round(times, 3) for name, times in growth.items()},
        "left": left,
        "worker_ended": ended,
    }
    ok = value <= GOAL and not left and ended and all(times <= GROWTH for times in growth.values())
    return Result("trigger", round(value, 2), "s, event to first task", GOAL, ok, detail)


@contextmanager
def _server(full: bool) -> Iterator[tuple[Server, str]]:
    """A server, and the name of its database."""
    if not (full and programs()):
        with running() as server:
            yield server, "SQLite"
    else:
        with postgres() as base, running(PREFECT_API_DATABASE_CONNECTION_URL=base.url) as server:
            yield server, "PostgreSQL"


@contextmanager
def _worker(place: Checkout, url: str) -> Iterator[psutil.Popen]:
    worker = psutil.Popen(
        [sys.executable, "-m", "flows.cli.main", "worker"],
        cwd=place.root,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until(lambda: any(one["status"] == "ONLINE" for one in ask(url, "work_pools/temper/workers/filter")))
        yield worker
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()


def _ended(worker: psutil.Popen) -> bool:
    """Whether it ends when it is asked to, as Ctrl-C does; it has nothing left to do."""
    worker.terminate()
    try:
        worker.wait(TO_END)
    except psutil.TimeoutExpired:
        return False
    return True


def _triggered(place: Checkout, url: str, number: int) -> float:
    """Add data; return the seconds from the event to the start of the first task of its run, once that has ended."""
    file = place.root / "data/arrived.txt"
    file.write_text(f"{number}\n")
    seen = {run["id"] for run in ask(url, "flow_runs/filter")}
    place.temper("data", "add", "data/arrived.txt")

    def ended() -> dict[str, Any] | None:
        fresh = [run for run in ask(url, "flow_runs/filter", sort="START_TIME_DESC") if run["id"] not in seen]
        return next((run for run in fresh if run["state_type"] in ENDED), None)

    run = _until(ended)
    if run["state_type"] != "COMPLETED":
        raise Failed(f"the run ended {run['state_name']}: {run['state']['message']}")
    where = {"id": {"any_": [run["id"]]}}
    started = min(_moment(task["start_time"]) for task in ask(url, "task_runs/filter", flow_runs=where))
    events = ask(url, "events/filter", filter={"event": {"name": ["temper.data.changed"]}, "order": "DESC"})["events"]
    return started - _moment(events[0]["occurred"])


def _queued(server: Server, worker: psutil.Process, count: int) -> list[tuple[int, int]]:
    """Queue `count` runs at once; return the memory of worker (without runs) and server after the end of each."""
    (deployment,) = ask(server.url, "deployments/filter", flows={"name": {"any_": ["finetune"]}})
    names = [f"queued-{number:03}" for number in range(count)]
    for name in names:
        ask(server.url, f"deployments/{deployment['id']}/create_flow_run", name=name, parameters={})
    memory: list[tuple[int, int]] = []
    while len(memory) < count:
        where = {"name": {"any_": names}, "state": {"type": {"any_": ENDED}}}
        _until(lambda where=where: ask(server.url, "flow_runs/count", flow_runs=where) > len(memory))
        memory.append((int(worker.memory_info().rss), server.memory()))
    states = {run["state_name"] for run in ask(server.url, "flow_runs/filter", flow_runs={"name": {"any_": names}})}
    if states != {"Completed"}:
        raise Failed(f"queued runs ended {', '.join(sorted(states))}")
    return memory


def _growth(samples: list[int]) -> float:
    """The last quarter over the second one: at the beginning caches fill."""
    quarter = max(1, len(samples) // 4)
    return median(samples[-quarter:]) / median(samples[quarter : 2 * quarter])


def _mib(size: int) -> int:
    return round(size / 2**20)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _until(answered: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (answer := answered()):
        if time.monotonic() > deadline:
            raise Failed(f"nothing after {PATIENCE:.0f} s")
        time.sleep(1)  # what is measured stands in the server's own times; each question slows it
    return answer
