"""What a run will need, before its first step: memory, measured; disk for checkpoints; and what it took.

The estimate is printed and compared with what there is: a run that would not fit stops here, with the numbers and the
cheapest way out, and not after hours.
"""

import ctypes
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from tasks.core.errors import MachineError
from tasks.core.numbers import duration, storage
from tasks.training.estimate import checkpoints_kept
from tasks.training.kept_passes import KeptPasses, Passes
from tasks.training.methods import METHODS
from tasks.training.optimizers import state_bytes
from tasks.training.pace import PaceCallback
from tasks.training.private_trl import forget_figures
from tasks.training.settings import Optimization
from tasks.training.sharding import is_shared, local, lowest, put_back
from tasks.training.tuning_settings import Tuning
from tasks.training.usage import Amounts, Usage
from tasks.training.zero import not_shared_yet

ROOM = 2
"""Times what a batch takes by a pass of one item that have to be available for no larger pass to be tried."""


@dataclass(frozen=True)
class MemoryEstimate:
    """What a run needs, in bytes."""

    loaded: int
    """Memory in use before training: program, libraries, weights."""
    gradients: int
    optimizer: int
    activations: int
    """What is in use at one time besides: what a forward pass keeps and a backward pass makes of it, for the most."""
    disk: int
    """Checkpoints kept at once, and the result."""
    extrapolated: bool = False
    """Whether `activations` are a multiple of what one item takes, in which what is needed once counts as often."""

    @property
    def memory(self) -> int:
        """The largest amount in use at one time."""
        return self.loaded + self.gradients + self.optimizer + self.activations


def measure(
    trainer: Any,
    settings: Optimization,
    forward: Callable[[int], Any],
    at_once: int,
    kept: KeptPasses | None = None,
) -> MemoryEstimate:
    """What `trainer` will need for batches of `at_once` items; measured on passes forward and back, with no trace left.

    `forward` makes a loss of so many items, each as long as the longest. First one goes, then as many as are
    `_wanted`; what more would take is extrapolated. No pass goes where `kept` has as many.
    """
    model = trainer.model
    beside = tuple(getattr(trainer, "beside", ()))
    trained = [value for value in (*model.parameters(), *beside) if value.requires_grad]
    weights = sum(local(value).numel() for value in trained)
    shared = sum(value.numel() for value in trained) > weights
    whole = not hasattr(model, "peft_config")
    saved = 4 * (sum(local(value).numel() for value in (*model.parameters(), *beside)) if whole else weights)
    held, checkpoints = state_bytes(settings.optimizer), checkpoints_kept(settings)
    gradients = sum(local(value).numel() * value.element_size() for value in trained)
    if trainer.args.gradient_checkpointing:  # as trainer.train() does
        model.activation_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    release_cache()  # what loading has left would be taken for room
    loaded, optimizer = in_use(), round(held * weights)
    wanted = partial(_wanted, at_once, gradients, optimizer)
    passes = kept.load() if kept else None
    if passes and passes.count >= wanted(passes):
        reset_peak()  # what is taken from here on is the training's
    else:
        with not_shared_yet(settings, model):
            passes = _try_passes(trainer, forward, wanted, loaded)
        if kept:
            kept.save(passes)
    most = passes.of(at_once, gradients)
    step = gradients + 2 * max(value.numel() * value.element_size() for value in trained)  # of Adam on one tensor
    peak = max(most, step, saved)  # a copy of what is saved is made, when there are no gradients any more
    buckets = gradients if trainer.args.world_size > 1 and not shared else 0  # in which processes exchange them
    return MemoryEstimate(
        loaded=loaded,
        gradients=gradients,
        optimizer=optimizer,
        activations=peak - gradients + buckets,
        disk=round((checkpoints + 1) * saved + checkpoints * held * weights),
        extrapolated=passes.count == 1 < at_once and most == peak,
    )


def _try_passes(trainer: Any, forward: Callable[[int], Any], wanted: Callable[[Passes], int], loaded: int) -> Passes:
    """What a pass of one item takes besides what is `loaded`, and one of as many as are `wanted` after it."""
    one = measure_pass(trainer, forward, 1) - loaded
    passes = Passes(one, one, 1)
    count = wanted(passes)
    count = lowest(count) if is_shared(trainer.model) else count  # all make the same passes
    return Passes(one, measure_pass(trainer, forward, count) - loaded, count) if count > 1 else passes


def _wanted(at_once: int, gradients: int, optimizer: int, passes: Passes) -> int:
    """How many of `at_once` items have to be tried, after `passes`: as many as fit twice into the memory that is there.

    No more on a processor where the whole batch has room by what was tried: nothing would be decided by it. On a card
    rows of a line are kept apart by a mask, which grows with the square of the batch.
    """
    free = available()
    if not torch.cuda.is_available() and ROOM * (optimizer + passes.of(at_once, gradients)) <= free:
        return passes.count
    return min(at_once, max(1, free // 2 // max(passes.one, 1)))


def measure_pass(trainer: Any, forward: Callable[[int], Any], count: int) -> int:
    """The most memory in use at one time in a pass forward and back of `count` items, in bytes; all is put away."""
    model = trainer.model
    training = model.training
    model.train()
    reset_peak()
    with torch.random.fork_rng(), discard_metrics(trainer):
        with trainer.compute_loss_context_manager():
            loss = forward(count)
        loss.backward()
    del loss
    most = peak()
    model.zero_grad(set_to_none=True)
    for weight in getattr(trainer, "beside", ()):  # trained, and no part of the model
        weight.grad = None
    model.train(training)
    put_back(model)
    release_cache()
    return most


@contextmanager
def discard_metrics(trainer: Any) -> Iterator[None]:
    """Leave no trace of a forward pass in what trl keeps for its log."""
    yield
    forget_figures(trainer)


def in_use() -> int:
    """Bytes of memory that this process holds: of the graphics card where there is one."""
    return int(torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss)


def available() -> int:
    """Bytes of memory that it could have besides."""
    return int(torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available)


def reset_peak() -> None:
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


def release_cache() -> None:
    """Let others have what was freed; allocators keep it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(AttributeError):  # a C library other than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def check_resources(
    what: str, needs: MemoryEstimate, settings: Optimization, scratch: Path, adapter: bool, ways: Callable[[int], str]
) -> None:
    """Raise `MachineError` where memory or disk will not do; `ways`: what would cost the least, by `ways_out`."""
    free = shutil.disk_usage(scratch).free
    if needs.disk > free:
        raise MachineError(
            f"{what}: {checkpoints_kept(settings)} checkpoints and the result need {storage(needs.disk)} of disk, but "
            f"only {storage(free)} is free; free some space{'' if adapter else f', or set {what}.method to lora'}."
        )
    free_memory, needed = available(), needs.memory - needs.loaded
    if needed <= free_memory:
        return
    raise MachineError(
        f"{what}: training needs {storage(needed)} of memory in addition to the loaded model (gradients "
        f"{storage(needs.gradients)}, optimiser {storage(needs.optimizer)}, activations {storage(needs.activations)}), "
        f"but only {storage(free_memory)} is available; {ways(free_memory)}."
    )


def ways_out(
    what: str, needs: MemoryEstimate, settings: Optimization, free: int, *, adapter: bool, divides: bool
) -> str:
    """The two cheapest changes that take less than `free` bytes besides what is loaded; none that is set already.

    `divides`: whether a batch may become several smaller ones. Before a run, `tasks.memory.ways` prices more of them,
    by the shapes of a skeleton; here only what was measured counts, and the code of a training stays small.
    """
    ways, constant = [], needs.gradients + needs.optimizer
    sizes = [size for size in range(settings.batch_size // 2, 0, -1) if settings.batch_size % size == 0]
    for size in sizes if divides else ():
        if (less := constant + needs.activations * size // settings.batch_size) <= free:
            passes = settings.gradient_accumulation * (settings.batch_size // size)
            ways.append(
                f"{what}.batch_size to {size} and {what}.gradient_accumulation to {passes} (about {storage(less)})"
            )
            break
    if not settings.gradient_checkpointing and constant < free:
        ways.append(f"{what}.gradient_checkpointing to true")
    if not adapter and isinstance(settings, Tuning):
        ways.append(f"{what}.method to lora")
    elif isinstance(settings, Tuning) and not settings.quantized and METHODS[settings.method].quantized:
        ways.append(f"{what}.method to qlora")
    return f"set {', or '.join(ways[:2])}" if ways else "use a larger GPU or machine, a smaller base, or shorter rows"


@contextmanager
def report_full_memory(what: str, needs: MemoryEstimate, ways: Callable[[int], str]) -> Iterator[None]:
    """Turn torch's error of a full card into a `MachineError`: what was taken, what was free, what to do."""
    try:
        yield
    except torch.OutOfMemoryError:
        taken, (free, total) = in_use(), _card()
        release_cache()
        advice = ways(int(0.9 * (total - needs.loaded)))
        raise MachineError(
            f"{what}: the GPU is full: training took {storage(taken)} of {storage(total)}, {storage(free)} was free, "
            f"and the estimate was {storage(needs.memory)}. Stop other programs that use the GPU, or {advice}."
        ) from None


def _card() -> tuple[int, int]:
    """Bytes that are free and that there are, of the card, or of the host where there is none."""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return int(free), int(total)
    memory = psutil.virtual_memory()
    return int(memory.available), int(memory.total)


def report(what: str, needs: MemoryEstimate) -> None:
    """Print one line of the estimate."""
    memory = f"{'about ' if needs.extrapolated else ''}{storage(needs.memory)}"
    print(
        f"{what}: needs {memory} of memory (loaded {storage(needs.loaded)}, gradients "
        f"{storage(needs.gradients)}, optimiser {storage(needs.optimizer)}, activations {storage(needs.activations)}) "
        f"and {storage(needs.disk)} of disk",
        flush=True,
    )


def summarize(what: str, needs: MemoryEstimate, pace: PaceCallback, items: int) -> Usage:
    """Print one line of what it took, beside what was estimated. `items` were trained on."""
    peak_memory = peak()
    text = f"{what}: took {storage(peak_memory)} of memory (estimate {needs.memory / peak_memory - 1:+.0%})"
    if pace.seconds:
        text += f", and {duration(pace.seconds)}"
        text += f" (estimate {pace.estimated / pace.seconds - 1:+.0%})" if pace.estimated else ""
    print(text, flush=True)
    estimated = Amounts(needs.memory, needs.disk, pace.estimated)
    return Usage(estimated, Amounts(peak_memory, pace.disk, pace.seconds), items, pace.step)
