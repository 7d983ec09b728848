"""`clean`: memory of the stage on many rows against few, each in a process of its own; and rows a second.

How long all processors computed for a row (`computed_us_a_row`) hardly depends on what else the machine does.

Memory is what the process needs for itself (`RssAnon`): pages of mapped files are the system's cache, which it takes
back when others need the room; the peak with them is stated too (`with_cache_mib`).

Rows are made on the fly from a seed: a question and an answer of random words, one in ten a copy of an earlier one.
"""

import json
import random
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.checkout import HERE
from benchmarks.result import Result, last_line

GOAL = 1.25
"""Peak memory of the larger run for each byte of the smaller one: the same, but for what the allocator keeps."""

ROWS = {"small": (20_000, 200_000), "default": (100_000, 10_000_000)}


def measure(full: bool) -> Result:
    """The smaller run, then the larger one."""
    configuration = "default" if full else "small"
    runs = []
    with TemporaryDirectory(prefix="temper-") as folder:
        for rows in ROWS[configuration]:
            place = Path(folder) / str(rows)
            place.mkdir()
            write(place / "rows.jsonl", rows)
            runs.append({"rows": rows, **watched([sys.executable, "-m", "benchmarks.clean", str(place)])})
            shutil.rmtree(place)
    few, many = runs
    ratio = many["peak_mib"] / few["peak_mib"]
    detail = {"configuration": configuration, "runs": runs}
    return Result("clean", round(ratio, 3), f"x peak of {few['rows']:,} rows", GOAL, ratio <= GOAL, detail)


def watched(command: list[str]) -> dict[str, Any]:
    """What `command` prints in its last line, and the most memory of its own that it was seen with, in MiB."""
    peak = 0
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with ThreadPoolExecutor(1) as pool:
            printed = pool.submit(process.stdout.read)
            while process.poll() is None:
                with suppress(OSError, IndexError):  # it ends while it is being looked at
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    peak = max(peak, int(status.split("RssAnon:")[1].split()[0]))
                time.sleep(0.05)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {**last_line(printed.result()), "peak_mib": round(peak / 1024)}


def write(path: Path, rows: int) -> None:
    """Write `rows` rows as JSON Lines; one in ten has stood before, among the last two thousand."""
    source = random.Random(0)
    words = [f"word{number}" for number in range(5000)]
    earlier: list[str] = []
    with path.open("w") as file:
        for _ in range(rows):
            if earlier and source.random() < 0.1:
                file.write(source.choice(earlier))
                continue
            texts = [" ".join(source.choices(words, k=length)) for length in (12, 25)]
            messages = [
                {"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=True)
            ]
            line = json.dumps({"messages": messages}) + "\n"
            earlier.append(line)
            if len(earlier) > 2000:
                del earlier[:1000]
            file.write(line)


def main(place: Path) -> None:
    """Run the stage on `place`; print seconds, those of all processors for a row, and peak memory."""
    from tasks.clean.settings import Settings
    from tasks.clean.stage import run
    from tasks.core.paths import Paths

    with (place / "rows.jsonl").open() as file:
        rows = sum(1 for _ in file)
    test = min(1.0, 1000 / rows)  # as many test rows in both, for memory goes with them
    start = time.perf_counter()
    run(Settings(input="rows.jsonl", test_share=test, near_duplicates_within=0.8, max_loss=1), Paths(place))
    seconds = time.perf_counter() - start
    usages = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    computed = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    seen = {
        "seconds": round(seconds, 1),
        "rows_a_second": round(rows / seconds),
        "computed_us_a_row": round(1e6 * computed / rows),
        "with_cache_mib": round(usages[0].ru_maxrss / 1024),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
