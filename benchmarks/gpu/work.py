"""What needs PyTorch, in a process of its own; the last line is an object.

    python -m benchmarks.gpu.work machine          the card and the versions; null where there is no card
    python -m benchmarks.gpu.work make SIZE        models and rows, in the current folder
    python -m benchmarks.gpu.work estimate STAGE   bytes of training in the current project, by its settings alone
    python -m benchmarks.gpu.work bare FORM LINES  the rows of the project FORM trained by a bare loop

SIZE: the fields of a `Size`, as JSON.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

VERSIONS = ("torch", "transformers", "trl", "peft", "bitsandbytes")

WARM = 2
"""Steps of the bare loop before it is measured: the stage has passes behind it, too, when its first step begins."""


def machine() -> dict[str, Any]:
    """Name and memory (bytes) of the card, and versions; of the processor without a card."""
    import torch

    facts: dict[str, Any] = {name: version(name) for name in VERSIONS}
    if not torch.cuda.is_available():
        return {**facts, "card": None, "memory": None}
    card = torch.cuda.get_device_properties(0)
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    ).stdout.split("\n")[0]  # fmt: skip
    capability = f"{card.major}.{card.minor}"
    cuda = f"{torch.version.cuda}, driver {driver or 'unknown'}"
    return {**facts, "card": card.name, "memory": card.total_memory, "capability": capability, "cuda": cuda}


def make(size: str) -> dict[str, Any]:
    """Models and rows of the `Size` with the fields `size`."""
    from benchmarks.gpu import material
    from benchmarks.gpu.sizes import Size

    material.make(Path(), Size(**json.loads(size)))
    return {}


def estimate(stage: str) -> dict[str, Any]:
    """Bytes that training is priced at: on a card those of tensors, beside which CUDA takes some; else all."""
    import torch

    from tasks.core.paths import Paths
    from tasks.core.settings import PARAMS
    from tasks.memory.workloads import trainings

    card = torch.cuda.is_available()
    training = next(each for each in trainings(Path(PARAMS), Paths(), card) if each.what == stage)
    price = training.price()
    return {"estimated": price.total - (price.overhead if card else 0)}


def bare(form: str, lines: str) -> dict[str, Any]:
    """Tokens a second of LoRA in a loop of a few lines: PyTorch's AdamW, no log, no check, kernels as they come."""
    import torch

    from benchmarks.trainings import batches, rows_of, tuned

    card = torch.cuda.is_available()
    device = "cuda" if card else "cpu"
    wait: Callable[[], None] = torch.cuda.synchronize if card else lambda: None
    torch.set_num_threads(1)
    model = tuned(Path("models/llama"), "bfloat16").to(device).train()
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-4)

    def step(batch: dict[str, Any]) -> None:
        values = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.autocast(device, torch.bfloat16) if card else nullcontext():
            loss = model(**values, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    for batch in islice(batches(Path(), form, int(lines)), WARM):
        step(batch)
    wait()
    start = time.perf_counter()
    for batch in batches(Path(), form, int(lines)):
        step(batch)
    wait()
    seconds = time.perf_counter() - start
    tokens = sum(map(len, rows_of(Path(), form)["input_ids"]))
    taken = torch.cuda.max_memory_allocated() if card else None
    return {"tokens_a_second": round(tokens / seconds), "taken": taken}


WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    "machine": machine, "make": make, "estimate": estimate, "bare": bare,
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(WAYS[sys.argv[1]](*sys.argv[2:])))
