"""Try bad inputs: `python -m tests.hostile KIND... [--seed N] [--drawn N] [--fixed SHARE] [--only TEXT]`.

A line for each input that did not end as promised (`--all`: for each), a JSON summary at the end; exit code 1 where
there was one.
"""

import argparse
import importlib
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path

from tasks.core.fixed import FIXED

KINDS = ("models", "chats", "rows", "documents", "params", "gguf")


def main(arguments: list[str]) -> int:
    """Try the inputs of one kind, or of several."""
    command = argparse.ArgumentParser(prog="python -m tests.hostile")
    command.add_argument("kinds", choices=KINDS, nargs="+", metavar="KIND", help=", ".join(KINDS))
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--drawn", type=int, default=100, help="inputs that are drawn")
    command.add_argument("--fixed", type=float, default=1.0, help="share of the fixed inputs, drawn too")
    command.add_argument("--only", default="", help="those whose name holds this")
    command.add_argument("--hang", type=float, default=60.0, help="seconds after which an input hangs")
    command.add_argument("--light", action="store_true", help="without those that are large or meant to take long")
    command.add_argument("--all", action="store_true", help="a line for each input")
    options = command.parse_args(arguments)
    if any(os.environ.get(name) != value for name, value in FIXED.items()):
        os.environ.update(FIXED, OMP_NUM_THREADS="1", PREFECT_LOGGING_LEVEL="ERROR")
        os.execv(sys.executable, [sys.executable, "-m", "tests.hostile", *arguments])
    from tests.hostile.fork import outcome

    counts: Counter[str] = Counter()
    slowest, largest = 0.0, 0
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(json.dumps(counts)))  # what was tried so far
    for name in options.kinds:
        kind = importlib.import_module(f"tests.hostile.{name}")
        draw = random.Random(options.seed)
        with tempfile.TemporaryDirectory(prefix="temper-hostile-") as root:
            project = Path(root) / "project"
            project.mkdir()
            kind.prepare(project)
            drawn = (case for case in kind.drawn(draw) if not (options.light and case.heavy))
            cases = [
                case for case in kind.fixed() if draw.random() < options.fixed and not (options.light and case.heavy)
            ]
            for case in [*cases, *islice(drawn, options.drawn)]:
                if options.only not in case.name:
                    continue
                ended = outcome(case, project, Path(root) / "work", options.hang)
                faults = list(ended.faults())
                counts.update(["inputs", *faults, *(["faulty"] if faults else [])])
                slowest, largest = max(slowest, ended.seconds), max(largest, ended.memory)
                if faults or options.all:
                    print(
                        f"{' '.join(faults) or 'right'}: {case.name[:100]}: code {ended.code}, {ended.seconds} s, "
                        f"{ended.memory >> 20} MiB: {ended.sentence}",
                        flush=True,
                    )
    print(json.dumps({**counts, "seconds": slowest, "mebibytes": largest >> 20}))
    return 1 if counts["faulty"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
