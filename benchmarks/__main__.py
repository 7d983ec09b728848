"""Run one benchmark, or all of them.

python -m benchmarks NAME            the small configuration; the last line is the result as JSON
python -m benchmarks NAME --full     the configuration in params.yaml, as it is here
python -m benchmarks --full          all, then a table
python -m benchmarks gpu             what a CUDA card does (benchmarks/gpu); not one of all, and with options of its own
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable

from benchmarks import (
    cached,
    clean,
    cross_row,
    dedup,
    evaluate,
    generate,
    merge,
    overhead,
    packing,
    privacy,
    reproduction,
    startup,
    step_profile,
    strategies,
    template,
    templates,
    train,
    trigger,
)
from benchmarks.gpu.run import main as gpu
from benchmarks.peers import measure as peers
from benchmarks.result import Result, table

BENCHMARKS: dict[str, Callable[[bool], Result]] = {
    "cached": cached.measure,
    "overhead": overhead.measure,
    "startup": startup.measure,
    "reproduction": reproduction.measure,
    "clean": clean.measure,
    "cross_row": cross_row.measure,
    "dedup": dedup.measure,
    "evaluate": evaluate.measure,
    "generate": generate.measure,
    "merge": merge.measure,
    "packing": packing.measure,
    "peers": peers.measure,
    "privacy": privacy.measure,
    "profile": step_profile.measure,
    "strategies": strategies.measure,
    "template": template.measure,
    "templates": templates.measure,
    "train": train.measure,
    "trigger": trigger.measure,
}


def main() -> int:
    """Return 0 where every goal is reached."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exception, so that servers and folders are put away
    if sys.argv[1:2] == ["gpu"]:
        return gpu(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What temper costs beside the work.")
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="default: all")
    parser.add_argument("--full", action="store_true", help="on params.yaml as it is; default: a small configuration")
    options = parser.parse_args()
    results = []
    for name in [options.name] if options.name else BENCHMARKS:
        start = time.perf_counter()
        print(f"{name} ...", file=sys.stderr, flush=True)
        results.append(BENCHMARKS[name](options.full))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        print(results[-1].line(), flush=True)
    if not options.name:
        print(table(results))
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
