"""What the stages train and align take of the memory of cards, by params.yaml and the configuration of the base alone.

    python -m tasks.memory.card                     the cards of this machine, each with a process of its own
    python -m tasks.memory.card 24GB                a card of 24 GiB
    python -m tasks.memory.card "80GB x 8 x 2" 1TB  two hosts of eight cards and 1 TiB of memory each, by each strategy

A line a stage, or a table; an error for each that does not fit.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import Paths
from tasks.core.reporting import guarded
from tasks.core.settings import PARAMS
from tasks.memory import plans
from tasks.memory.cluster import Cluster, parse, size
from tasks.memory.table import ALWAYS, NAMES, gib
from tasks.memory.ways import largest, smaller
from tasks.memory.workloads import Training, engine_share, launch_of, trainings


def cards() -> list[tuple[str, int]]:
    """Name and bytes of each graphics card here."""
    import torch

    each = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [(card.name, int(card.total_memory)) for card in each]


def check(text: str = "", ram: str = "") -> Iterator[str]:
    """Print a line, or a table, a stage; yield a sentence for each that does not fit."""
    host = _memory(ram) if ram else 0
    if text:
        cluster = parse(text)
        name = f"a card of {gib(cluster.memory)}"
    else:
        here = cards()
        if not here:
            raise MachineError("check --card: this machine has no GPU that torch can use; name one, as in --card 24GB.")
        name, memory = min(here, key=lambda card: card[1])  # each process takes one
        name, cluster = f"{name} of {gib(memory)}", Cluster(memory)
    for training in trainings(Path(PARAMS), Paths()):
        launch = launch_of(training.tuned)
        ours = cluster if cluster.cards else replace(cluster, cards=launch.processes, hosts=launch.nodes)
        if share := engine_share(training.settings):
            print(
                f"{training.what}: vLLM takes {gib(round(share * ours.memory))} of each GPU permanently, a share of "
                f"{share:g}"
            )
            ours = replace(ours, memory=round((1 - share) * ours.memory))
            name = f"{name} minus vLLM's share"
        if ours.world == 1 and not host:
            yield from compare(training, name, ours.memory)
        else:
            yield from plans.compare(training, ours, host)


def _memory(text: str) -> int:
    try:
        return size(text, "memory of a host")
    except ValueError as error:
        raise SettingsError(f"check --ram: {error}; write it as in --ram 512GB.") from None


def compare(training: Training, name: str, memory: int) -> Iterator[str]:
    """Print what `training` takes; yield a sentence where that is more than the `memory` bytes of the card `name`."""
    price = training.price()
    parts = ", ".join(f"{NAMES[part]} {gib(size)}" for part, size in price.parts.items() if part in ALWAYS or size)
    fits = price.total <= memory
    print(f"{training.what}: {gib(price.total)} on {name}: {parts}; {training.about()}")
    if fits:
        print(f"{training.what}: fits, {gib(memory - price.total)} are left")
        print(most_at_once(training, memory))
        return
    changes = smaller(training.tuned, training.price, memory, divides=not training.looks_at_whole_batch())
    ways = [way.sentence(training.section) for way in changes]
    advice = f"{', or '.join(ways)}" if ways else (
        "no setting of batch, checkpointing, optimiser or method makes it fit; use a larger GPU, a smaller base, or "
        "shorter rows (template.max_length)"
    )  # fmt: skip
    yield f"{training.what}: needs {gib(price.total)}, but {name} has less; {advice}."


def most_at_once(training: Training, memory: int) -> str:
    """How much of the effective batch of `training` fits into `memory` bytes at one time, and the command that sets it.

    A value that each machine chose for itself would be no setting: by what stands in params.yaml a run is repeated.
    """
    what, section, settings = training.what, training.section, training.tuned
    effective = settings.batch_size * settings.gradient_accumulation
    if training.looks_at_whole_batch():
        return (
            f"{what}: the loss of {settings.objective} depends on the whole batch, so {section}.batch_size changes the "
            "result; to see whether another one fits, set it"
        )
    way = largest(settings, training.price, memory)
    if settings.batch_size == effective:
        return f"{what}: the whole effective batch of {effective} fits at once"
    if way is None or way.changes["batch_size"] == settings.batch_size:
        return f"{what}: at most {settings.batch_size} of the effective batch of {effective} fit at once"
    values = " ".join(f"--set {section}.{name}={value}" for name, value in way.changes.items())
    return (
        f"{what}: {way.changes['batch_size']} of the effective batch of {effective} fit at once "
        f"({gib(way.price.total)}): temper run {values}"
    )


def main() -> int:
    """Return 0, or 1 where something does not fit."""

    def work() -> None:
        if faults := list(check(*sys.argv[1:])):
            raise MachineError("\n".join(faults))

    return guarded("train", work)


if __name__ == "__main__":
    import tasks.core.spared  # noqa: F401  # before any heavy import

    sys.exit(main())
