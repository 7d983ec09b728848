"""What a run will need, before its first step: memory, measured; disk for checkpoints; and what it took.

The price is told and compared with what there is: a run that would not fit stops here, with the numbers and the
cheapest way out, and not after hours.
"""

import ctypes
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from tasks.core.errors import MachineError
from tasks.training.estimate import kept
from tasks.training.optimizers import state
from tasks.training.pace import Pace
from tasks.training.private_trl import forget_figures
from tasks.training.settings import Optimization
from tasks.training.usage import Amounts, Usage, clock


@dataclass(frozen=True)
class Price:
    """What a run needs, in bytes."""

    loaded: int
    """Memory in use before training: program, libraries, weights."""
    gradients: int
    optimizer: int
    activations: int
    """What is in use at one time besides: what a forward pass keeps and a backward pass makes of it, for the most."""
    disk: int
    """Checkpoints kept at once, and the result."""

    @property
    def memory(self) -> int:
        """The largest amount in use at one time."""
        return self.loaded + self.gradients + self.optimizer + self.activations


def price(trainer: Any, settings: Optimization, forward: Callable[[int], Any], at_once: int) -> Price:
    """What `trainer` will need for batches of `at_once` items; measured on passes forward and back, with no trace left.

    `forward` makes a loss of so many items, each as long as the longest. First one goes, then as many as fit twice into
    the memory that is there; what more would take is extrapolated.
    """
    model = trainer.model
    trained = [value for value in model.parameters() if value.requires_grad]
    weights = sum(value.numel() for value in trained)
    whole = not hasattr(model, "peft_config")
    saved = 4 * (sum(value.numel() for value in model.parameters()) if whole else weights)
    held, checkpoints = state(settings.optimizer), kept(settings)
    gradients = sum(value.numel() * value.element_size() for value in trained)
    if trainer.args.gradient_checkpointing:  # as trainer.train() does
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs)
    loaded = in_use()
    most = passed(trainer, forward, 1) - loaded
    count = min(at_once, max(1, available() // 2 // max(most, 1)))
    each = max(most - gradients, 0)
    if count > 1:
        one, most = most, passed(trainer, forward, count) - loaded
        each = max(most - one, 0) // (count - 1)
    most += each * (at_once - count)
    step = gradients + 2 * max(value.numel() * value.element_size() for value in trained)  # of Adam on one tensor
    peak = max(most, step, saved)  # a copy of what is saved is made, when there are no gradients any more
    buckets = gradients if trainer.args.world_size > 1 else 0  # in which processes exchange them
    return Price(
        loaded=loaded,
        gradients=gradients,
        optimizer=round(held * weights),
        activations=peak - gradients + buckets,
        disk=round((checkpoints + 1) * saved + checkpoints * held * weights),
    )


def passed(trainer: Any, forward: Callable[[int], Any], count: int) -> int:
    """The most memory in use at one time in a pass forward and back of `count` items, in bytes; all is put away."""
    model = trainer.model
    training = model.training
    model.train()
    start()
    with torch.random.fork_rng(), unrecorded(trainer):
        with trainer.compute_loss_context_manager():
            loss = forward(count)
        loss.backward()
    del loss
    found = peak()
    model.zero_grad(set_to_none=True)
    model.train(training)
    give_back()
    return found


@contextmanager
def unrecorded(trainer: Any) -> Iterator[None]:
    """Leave no trace of a forward pass in what trl keeps for its log."""
    yield
    forget_figures(trainer)


def in_use() -> int:
    """Bytes of memory that this process holds: of the graphics card where there is one."""
    return int(torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss)


def available() -> int:
    """Bytes of memory that it could have besides."""
    return int(torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available)


def start() -> None:
    """Let `peak` begin anew; where the kernel does not allow that, it goes on."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most that this process has held since `start`, in bytes."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def give_back() -> None:
    """Let others have what was freed; allocators keep it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(AttributeError):  # a C library other than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def check(what: str, asked: Price, settings: Optimization, scratch: Path, adapter: bool) -> None:
    """Raise `MachineError` where memory or disk will not do; says what would cost the least."""
    free = shutil.disk_usage(scratch).free
    if asked.disk > free:
        raise MachineError(
            f"{what}: {_size(asked.disk)} of disk are needed for {kept(settings)} checkpoints and the result, "
            f"{_size(free)} are free; free some space{'' if adapter else f', or set {what}.method to lora'}."
        )
    there, more = available(), asked.memory - asked.loaded
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
    took = peak()
    said = f"{what}: took {_size(took)} of memory, {asked.memory / took - 1:+.0%} priced"
    if pace.seconds:
        said += f", and {clock(pace.seconds)}"
        said += f", {pace.foretold / pace.seconds - 1:+.0%} foretold" if pace.foretold else ""
    print(said, flush=True)
    foretold = Amounts(asked.memory, asked.disk, pace.foretold)
    return Usage(foretold, Amounts(took, pace.disk, pace.seconds), items, pace.step)


def _size(amount: int) -> str:
    return f"{amount / 2**30:.2f} GiB" if amount >= 2**30 else f"{amount / 2**20:.0f} MiB"
