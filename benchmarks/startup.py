"""`startup`: seconds that each stage's process spends on imports, against `import torch` alone."""

import re
from statistics import median

from benchmarks.checkout import Checkout, checkout, commands
from benchmarks.result import Result

GOAL = 2.0
"""`import torch` at most so often, in the slowest stage."""

ROUNDS = {"small": 1, "default": 3}

TORCH = "python -c 'import torch'"

MODEL = "python -c 'from transformers.models.llama.modeling_llama import LlamaForCausalLM'"
"""The least with which transformers computes anything: no stage with a model takes less."""

TOP = re.compile(r"^import time:\s+\d+ \|\s+(\d+) \| (?! )", re.MULTILINE)
"""Cumulative microseconds of an import that no other import caused, as `-X importtime` writes it."""


def measure(full: bool) -> Result:
    """All stages once to make their inputs and warm the disk cache, then each again, next to `import torch`."""
    rounds = ROUNDS["default" if full else "small"]
    with checkout(full=full) as place:
        stages = commands(place)
        for command in stages:
            place.run("sh", "-ec", command)
        ratios: dict[str, list[float]] = {}
        torch = []
        for _ in range(rounds):
            for command in [*stages, MODEL]:
                torch.append(imports(place, TORCH))
                name = "transformers" if command == MODEL else command.removeprefix("python -m tasks ")
                ratios.setdefault(name, []).append(imports(place, command) / torch[-1])
    medians = {name: round(median(each), 2) for name, each in ratios.items()}
    model = medians.pop("transformers")
    worst = max(medians.values())
    detail = {
        "configuration": "default" if full else "small",
        "rounds": rounds,
        "import_torch_s": round(median(torch), 2),
        "transformers": model,
        "stages": medians,
    }
    return Result("startup", worst, "x import torch, slowest stage", GOAL, worst <= GOAL, detail)


def imports(place: Checkout, command: str) -> float:
    """Seconds that a command's Python processes spend on imports."""
    return sum(map(int, TOP.findall(place.run("sh", "-ec", command, PYTHONPROFILEIMPORTTIME="1")))) / 1e6
