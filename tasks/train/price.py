"""What a run will need, before its first step: memory measured on one item, disk for checkpoints; and what it took.

The price is told and compared with what there is: a run that would not fit stops here, with the numbers and the
cheapest way out, and not after hours.
"""

import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from tasks.contract.errors import MachineError
from tasks.train.forecast import kept
from tasks.train.optimizers import state
from tasks.train.pace import Pace
from tasks.train.settings import Optimization
from tasks.train.usage import Amounts, Usage, clock


@dataclass(frozen=True)
class Price:
    """What a run needs, in bytes."""

    loaded: int
    """Memory in use before training: program, libraries, weights."""
    gradients: int
    optimizer: int
    activations: int
    """What one forward pass keeps for the backward pass."""
    disk: int
    """Checkpoints kept at once, and the result."""

    @property
    def memory(self) -> int:
        """The largest amount in use at one time."""
        return self.loaded + self.gradients + self.optimizer + self.activations


def price(trainer: Any, settings: Optimization, forward: Callable[[], Any], at_once: int) -> Price:
    """What `trainer` will need for batches of `at_once` items.

    `forward` makes a loss of the longest item, and nothing is changed by it.
    """
    trained = [value for value in trainer.model.parameters() if value.requires_grad]
    weights = sum(value.numel() for value in trained)
    whole = not hasattr(trainer.model, "peft_config")
    saved = 4 * (sum(value.numel() for value in trainer.model.parameters()) if whole else weights)
    held, checkpoints = state(settings.optimizer), kept(settings)
    return Price(
        loaded=in_use(),
        gradients=sum(value.numel() * value.element_size() for value in trained),
        optimizer=round(held * weights),
        activations=activations(trainer, forward) * at_once,
        disk=round((checkpoints + 1) * saved + checkpoints * held * weights),
    )


def activations(trainer: Any, forward: Callable[[], Any]) -> int:
    """Bytes that `forward` of one item keeps for the backward pass, and the largest of them once more.

    The largest one is the logits or what became of them, whose gradient is as large.
    """
    model = trainer.model
    known = {value.untyped_storage().data_ptr() for value in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = (tensor if tensor.layout == torch.strided else tensor._values()).untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    training = model.training
    model.train()
    with (
        torch.random.fork_rng(),
        unrecorded(trainer),
        trainer.compute_loss_context_manager(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        loss = forward()
    del loss
    model.train(training)
    return sum(kept.values()) + max(kept.values(), default=0)


@contextmanager
def unrecorded(trainer: Any) -> Iterator[None]:
    """Leave no trace of a forward pass in what trl keeps for its log."""
    yield
    for name in ("_metrics", "_stored_metrics"):
        for figures in getattr(trainer, name, {}).values():
            figures.clear()
    if hasattr(trainer, "_total_train_tokens"):
        trainer._total_train_tokens = 0


def in_use() -> int:
    """Bytes of memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most that this process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def check(what: str, asked: Price, settings: Optimization, scratch: Path, adapter: bool) -> None:
    """Raise `MachineError` where memory or disk will not do; says what would cost the least."""
    free = shutil.disk_usage(scratch).free
    if asked.disk > free:
        raise MachineError(
            f"{what}: {_size(asked.disk)} of disk are needed for {kept(settings)} checkpoints and the result, "
            f"{_size(free)} are free; free some space{'' if adapter else f', or set {what}.method to lora'}."
        )
    there = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available
    more = asked.memory - (0 if torch.cuda.is_available() else asked.loaded)
    if more <= there:
        return
    ways = []
    if settings.batch_size > 1:
        fitting = max(1, int(settings.batch_size * (there - more + asked.activations) // max(asked.activations, 1)))
        ways.append(
            f"{what}.batch_size to {min(fitting, settings.batch_size // 2)} with {what}.gradient_accumulation raised"
        )
    if not settings.gradient_checkpointing:
        ways.append(f"{what}.gradient_checkpointing to true")
    ways.append(f"{what}.method to qlora" if adapter else f"{what}.method to lora, or {what}.optimizer to adafactor")
    raise MachineError(
        f"{what}: {_size(more)} of memory are needed besides what is loaded (gradients {_size(asked.gradients)}, "
        f"optimiser {_size(asked.optimizer)}, activations {_size(asked.activations)}), {_size(there)} are available; "
        f"set {', or '.join(ways)}."
    )


def tell(what: str, asked: Price) -> None:
    """One line of the price."""
    print(
        f"{what}: needs {_size(asked.memory)} of memory (loaded {_size(asked.loaded)}, gradients "
        f"{_size(asked.gradients)}, optimiser {_size(asked.optimizer)}, activations {_size(asked.activations)}) and "
        f"{_size(asked.disk)} of disk",
        flush=True,
    )


def settle(what: str, asked: Price, pace: Pace, items: int) -> Usage:
    """One line of what it took, beside what was foretold. `items` were trained on."""
    took = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak()
    said = f"{what}: took {_size(took)} of memory, {asked.memory / took - 1:+.0%} priced"
    if pace.seconds:
        said += f", and {clock(pace.seconds)}"
        said += f", {pace.foretold / pace.seconds - 1:+.0%} foretold" if pace.foretold else ""
    print(said, flush=True)
    foretold = Amounts(asked.memory, asked.disk, pace.foretold)
    return Usage(foretold, Amounts(took, pace.disk, pace.seconds), items, pace.step)


def _size(amount: int) -> str:
    return f"{amount / 2**30:.2f} GiB" if amount >= 2**30 else f"{amount / 2**20:.0f} MiB"
