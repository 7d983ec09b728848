"""The command: steps one after the other, a table that grows with each, and an exit code."""

import argparse
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.gpu import table
from benchmarks.gpu.project import Clock, StepFailed, measured
from benchmarks.gpu.sizes import size_for
from benchmarks.gpu.steps import STEPS, Bench, Step, chosen

MINUTES = 15.0
"""For all steps together, on a card."""

SLOWER = 6
"""Times as long that a processor may take, for all and for each step: it mostly loads libraries, on cores that others
use too."""


def main(arguments: list[str]) -> int:
    """Return 0 where every step worked and what was trained twice has the same bytes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description="What a CUDA card does with it all.")
    parser.add_argument("--cpu", action="store_true", help="the same steps on the processor, in small")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"), help="the table; JSON beside it (default: gpu.md)")
    names = [step.name for step in STEPS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="STEP", help=f"with what they need: {names}")
    options = parser.parse_args(arguments)
    if options.out.suffix != ".md":
        parser.error(f"--out {options.out}: the table is Markdown; name a file that ends in .md")
    slower = SLOWER if options.cpu else 1
    clock = Clock(60 * MINUTES * slower, slower)
    with TemporaryDirectory(prefix="temper-", dir=os.environ.get("TEMPER_BENCH")) as folder:
        machine = measured(clock, Path(folder), "machine", cpu=options.cpu)
        if machine["card"] is None and not options.cpu:
            print(
                "benchmarks gpu: this machine has no card that PyTorch can use; run it where there is one, or with "
                "--cpu for the same steps in small.",
                file=sys.stderr,
            )
            return 1
        size = size_for(machine["memory"])
        machine["size"] = asdict(size)
        bench = Bench(Path(folder), size, clock, options.cpu)
        lines: list[dict[str, Any]] = []
        text = ""
        for step in chosen(options.only or []):
            print(f"{step.name} ...", file=sys.stderr, flush=True)
            lines.append(attempt(step, bench, lines))
            text = table.write(options.out, machine, lines)
            print(f"{step.name}: {lines[-1]['outcome']}, {lines[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    print(text)
    return 0 if all(line["outcome"] == "works" and line.get("same_bytes", True) for line in lines) else 1


def attempt(step: Step, bench: Bench, before: list[dict[str, Any]]) -> dict[str, Any]:
    """What `step` measured, or why it did not work; `before`: the lines of earlier steps."""
    start = time.monotonic()
    worked = {line["step"] for line in before if line["outcome"] == "works"}
    missing = [name for name in step.needs if name not in worked]
    outcome, facts = "works", dict[str, Any]()
    if missing:
        outcome, facts = "left out", {"remark": f"needs {', '.join(missing)}"}
    elif bench.clock.left() <= 0:
        outcome, facts = "left out", {"remark": "the time for all steps was over"}
    else:
        bench.clock.begin(step.seconds)
        try:
            facts = step.run(bench)
        except (StepFailed, OSError, KeyError, ValueError) as error:
            outcome, facts = "fails", {"remark": " ".join(str(error).split())}
    return {"step": step.name, "outcome": outcome, "seconds": round(time.monotonic() - start, 1), **facts}
