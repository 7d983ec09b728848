"""What the stages train and align take of a card's memory, by params.yaml and the configuration of the base alone.

    python -m tasks.memory.card           the cards of this machine
    python -m tasks.memory.card 24GB      a card of 24 GiB

A line a stage; an error for each that does not fit.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import Paths
from tasks.core.reporting import guarded
from tasks.core.settings import PARAMS
from tasks.memory.ways import largest, smaller
from tasks.memory.workloads import Training, trainings

UNITS = {"": 2**30, "gb": 2**30, "gib": 2**30, "g": 2**30, "mb": 2**20, "mib": 2**20, "m": 2**20}
"""Bytes of what cards are sold by: their GB are GiB, but for what the driver holds."""


def parse(text: str) -> int:
    """Bytes of `text`, such as 24GB, 80 GiB or 24564MiB; `ValueError` where it is no size."""
    lowered = text.strip().lower().replace(" ", "")
    number = lowered.rstrip("gmib")
    unit = UNITS.get(lowered[len(number) :], 0)
    size = float(number) * unit if re.fullmatch(r"\d{1,6}(\.\d+)?", number) else 0.0
    if not 2**20 <= size < 2**50:
        raise ValueError(f"{text!r} is no memory of a card")
    return round(size)


def cards() -> list[tuple[str, int]]:
    """Name and bytes of each graphics card here."""
    import torch

    each = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [(card.name, int(card.total_memory)) for card in each]


def check(size: str) -> Iterator[str]:
    """Print a line a stage; yield a sentence for each that does not fit."""
    if size:
        try:
            memory = parse(size)
        except ValueError as error:
            raise SettingsError(f"check --card: {error}; say it as in --card 24GB.") from None
        name = f"a card of {gib(memory)}"
    else:
        here = cards()
        if not here:
            raise MachineError(
                "check --card: this machine has no card that torch can use; say which one is meant, as in --card 24GB."
            )
        name, memory = min(here, key=lambda card: card[1])  # each process takes one
        name = f"{name} of {gib(memory)}"
    for training in trainings(Path(PARAMS), Paths()):
        yield from compare(training, name, memory)


def compare(training: Training, name: str, memory: int) -> Iterator[str]:
    """Print what `training` takes; yield a sentence where that is more than the `memory` bytes of the card `name`."""
    price = training.price()
    parts = {
        "weights": price.weights, "gradients": price.gradients, "optimiser": price.optimizer,
        "activations": price.activations, "logits": price.logits, "overhead": price.overhead,
    }  # fmt: skip
    told = ", ".join(f"{part} {gib(size)}" for part, size in parts.items())
    fits = price.total <= memory
    print(f"{training.what}: {gib(price.total)} on {name}: {told}; {training.about()}")
    if fits:
        print(f"{training.what}: fits, {gib(memory - price.total)} are left")
        print(most_at_once(training, memory))
        return
    changes = smaller(training.tuned, training.price, memory, divides=not training.looks_at_whole_batch())
    ways = [way.sentence(training.section) for way in changes]
    advice = f"{', or '.join(ways)}" if ways else (
        "no setting of batch, checkpointing, optimiser or method makes it fit; take a larger card, a smaller base, or "
        "shorter rows (template.max_length)"
    )  # fmt: skip
    yield f"{training.what}: {gib(price.total)} are needed, {name} has less; {advice}."


def most_at_once(training: Training, memory: int) -> str:
    """How much of the effective batch of `training` fits into `memory` bytes at one time, and the command that sets it.

    A value that each machine chose for itself would be no setting: by what stands in params.yaml a run is repeated.
    """
    what, section, settings = training.what, training.section, training.tuned
    effective = settings.batch_size * settings.gradient_accumulation
    if training.looks_at_whole_batch():
        return (
            f"{what}: the loss of {settings.objective} looks at a whole batch, so {section}.batch_size is part of what "
            "is learned; whether another one fits, you see by setting it"
        )
    way = largest(settings, training.price, memory)
    if way is None or way.changes["batch_size"] == settings.batch_size:
        return f"{what}: of an effective batch of {effective} no more than {settings.batch_size} fit at one time"
    values = " ".join(f"--set {section}.{name}={value}" for name, value in way.changes.items())
    return (
        f"{what}: of an effective batch of {effective} {way.changes['batch_size']} fit at one time "
        f"({gib(way.price.total)}): temper run {values}"
    )


def gib(size: int) -> str:
    """`size` bytes for a person."""
    return f"{size / 2**30:.2f} GiB"


def main() -> int:
    """Return 0, or 1 where something does not fit."""
    size = "".join(sys.argv[1:])

    def work() -> None:
        if faults := list(check(size)):
            raise MachineError("\n".join(faults))

    return guarded("train", work)


if __name__ == "__main__":
    sys.exit(main())
