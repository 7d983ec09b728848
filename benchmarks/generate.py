"""`generate`: requests a second against a server that takes 200 ms for each, and memory with a large record.

The server is a process of its own; how long it was busy, from the first request to the last answer, is what the stage
is measured by. What a request costs of a processor is what the stage takes more than when it finds all on record, which
does not depend on who else uses the machine. The record is one of made-up responses, loaded and written as the stage
does it.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.checkout import HERE
from benchmarks.child import measured
from benchmarks.result import Result, last_line

LATENCY = 0.2
"""Seconds that the server takes for each answer, whatever else it does."""

CONCURRENCY = 32

GOAL = 1 / 0.9
"""Time for each second that a client takes that never lets one of its connections rest."""

REQUESTS = {"small": 1600, "default": 16_000}
RECORDS = {"small": (20_000, 200_000), "default": (20_000, 1_000_000)}


def measure(full: bool) -> Result:
    """Ask, ask again from the record, then load records."""
    configuration = "default" if full else "small"
    count = REQUESTS[configuration]
    with TemporaryDirectory(prefix="temper-") as folder:
        place = Path(folder)
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.generate", "serve"], cwd=HERE, stdout=subprocess.PIPE, text=True,
            stdin=subprocess.PIPE,
        )  # fmt: skip
        assert server.stdout is not None
        prepare(place, count, int(server.stdout.readline()))
        first, again = (stage(place) for _ in range(2))
        busy = last_line(server.communicate("")[0])
        records = [record(place / f"{lines}.jsonl", lines) for lines in RECORDS[configuration]]
    assert busy["requests"] == count, busy
    asked, replayed = first.pop("cpu"), again.pop("cpu")
    ideal = count * LATENCY / CONCURRENCY
    detail = {
        "configuration": configuration,
        "requests": count,
        "requests_a_second": round(count / busy["seconds"], 1),
        "at_best": CONCURRENCY / LATENCY,
        "seconds": {
            "stage": first["seconds"],
            "beside the requests": round(first["seconds"] - busy["seconds"], 1),
            "from the record": again["seconds"],
        },
        "cpu_ms_a_request": round((asked - replayed) / count * 1000, 2),
        "records": records,
    }
    value = busy["seconds"] / ideal
    return Result("generate", round(value, 3), "x of the least time", round(GOAL, 3), value <= GOAL, detail)


def prepare(place: Path, count: int, port: int) -> None:
    """A project with `count` documents of one chunk each."""
    folder = place / "data/documents"
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:06}.txt").write_text(f"Document {number} says that {number} is its number. " * 3)
    teacher = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "model": "slow", "concurrency": CONCURRENCY}
    generate = {"recipe": "documents", "input": "data/documents", "max_loss": 1, "teacher": teacher}
    (place / "params.yaml").write_text(json.dumps({"generate": generate}))


def stage(place: Path) -> dict[str, float]:
    """Seconds that the stage takes, and those of a processor (`cpu`)."""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "tasks", "generate"], cwd=place, env=environment, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(time.perf_counter() - start, 1), "cpu": cpu}


def record(path: Path, lines: int) -> dict[str, Any]:
    """Seconds and peak memory of a process that loads a record of so many responses and writes it again."""
    return {"responses": lines, **measured("benchmarks.generate", path, lines)}


async def serve() -> None:
    """Answer on a free port, printed first; when the input ends, print how long requests came."""
    from aiohttp import web

    times: list[float] = []
    entry = {"question": "What is its number?", "answer": "It says so.", "quote": "is its number"}
    choice = {"message": {"content": json.dumps([entry])}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 9}}).encode()

    async def answer(request: web.Request) -> web.Response:
        start = time.perf_counter()
        await request.read()
        await asyncio.sleep(LATENCY - (time.perf_counter() - start))
        times.extend((start, time.perf_counter()))
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"requests": len(times) // 2, "seconds": max(times) - min(times)}), flush=True)
    await runner.cleanup()


def load(path: Path, lines: int) -> None:
    """Write a record, load and save it as the stage does; print seconds and peak memory of that."""
    from tasks.teacher.response_store import ResponseStore

    with path.open("w") as file:
        for number in range(lines):
            response = {"finish_reason": "stop", "input_tokens": 9, "output_tokens": 9, "text": f"{number} " * 100}
            request = {"model": "m", "content": [{"role": "user", "content": f"{number} " * 100}]}
            file.write(json.dumps({"key": f"{number:064x}", "response": response, "request": request}) + "\n")
    start = time.perf_counter()
    known = ResponseStore(path.with_suffix(".sqlite"))
    known.load(path)
    known.save(path)
    assert len(known) == lines
    known.close()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 1), "peak_mib": round(peak), "mb": path.stat().st_size // 10**6}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        load(Path(sys.argv[1]), int(sys.argv[2]))
