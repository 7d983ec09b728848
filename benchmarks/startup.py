"""`startup`: seconds that each stage's process spends on imports, against `import torch` alone."""

import re
from statistics import median

from benchmarks.checkout import Checkout, checkout, commands
from benchmarks.result import Result

GOAL = 3.0
"""`import torch` at most so often, in the slowest stage."""

TOP = re.compile(r"^import time:\s+\d+ \|\s+(\d+) \| (?! )", re.MULTILINE)
"""Cumulative microseconds of an import that no other import caused, as `-X importtime` writes it."""


def measure(full: bool) -> Result:
    """All stages once to make their inputs and warm the disk cache, then each again, next to `import torch`."""
    with checkout(full=full) as place:
        stages = commands(place)
        for command in stages:
            place.run("sh", "-ec", command)
        torch, seconds = [], {}
        for command in stages:
            torch.append(imports(place, "python -c 'import torch'"))
            seconds[command.removeprefix("python -m tasks ")] = imports(place, command)
    alone = median(torch)
    worst = max(seconds.values()) / alone
    detail = {
        "configuration": "default" if full else "small",
        "import_torch_s": round(alone, 2),
        "imports_s": {stage: round(spent, 2) for stage, spent in seconds.items()},
    }
    return Result("startup", round(worst, 2), "x import torch, slowest stage", GOAL, worst <= GOAL, detail)


def imports(place: Checkout, command: str) -> float:
    """Seconds that a command's Python processes spend on imports."""
    return sum(map(int, TOP.findall(place.run("sh", "-ec", command, PYTHONPROFILEIMPORTTIME="1")))) / 1e6
