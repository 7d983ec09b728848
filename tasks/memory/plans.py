"""A training on several cards: which strategies fit, and where none does, what would.

list(compare(training, parse("80GB x 8 x 2"), ram=0))  # prints a table; one sentence where nothing fits
"""

from collections.abc import Callable, Iterator
from textwrap import fill
from typing import Any

from pydantic import ValidationError

from tasks.memory.cluster import Cluster
from tasks.memory.price import Price
from tasks.memory.strategies import Plan
from tasks.memory.table import STRATEGIES, arithmetic, fitting, gib, table
from tasks.memory.ways import smaller
from tasks.memory.workloads import Training, launch_of
from tasks.training.launch import Launch, Strategy

WIDE = 96
"""Characters of a line."""

MOST = 2**14
"""Cards that are tried, at most."""


def compare(training: Training, cluster: Cluster, ram: int) -> Iterator[str]:
    """Print what `training` takes of each card by each strategy; yield a sentence where it does not fit.

    `ram`: bytes of each host's memory, to price offload too; 0: do not.
    """
    count, memory = cluster.world, cluster.memory
    print(fill(f"{training.what}: {cluster.about()}; of each: {training.about()}", WIDE, subsequent_indent="  "))
    plans = _plans(training, count)
    for line in [*table(plans, memory), *arithmetic(training, count)]:
        print(line)
    refusals = {name: _refusal(training, training.tuned, name, cluster) for name in plans}
    for name, why in refusals.items():
        if why:
            print(fill(f"  {name} is not offered here: {why}", WIDE, subsequent_indent="    "))
    fits = [name for name in fitting(plans, memory) if not refusals[name]]
    offloaded = _offloaded(training, cluster, ram) if ram else []
    launch = launch_of(training.tuned)
    if launch.world == count > 1 and launch.strategy not in fits:
        needed = gib(plans[launch.strategy].price.total)
        fault = f"{training.section}.launch.strategy is {launch.strategy}, which needs {needed}"
    elif not fits:
        fault = f"no strategy {'that is offered here ' if any(refusals.values()) else ''}fits"
    else:
        print(f"{training.what}: fits by {', '.join(fits)}: {_command(training, fits[0], cluster)}")
        return
    ways = [f"set {training.section}.launch.strategy to {fits[0]}"] if fits else [*offloaded, *_ways(training, cluster)]
    yield f"{training.what}: {fault}, a card has {gib(memory)}; {', or '.join(ways)}."


def cheapest(training: Training, cards: int, hosts: int = 1) -> Callable[[Any], Price]:
    """The price of training by some settings on so many cards, by the strategy that takes the least of each."""

    def pricing(settings: Any) -> Price:
        offered = (name for name in STRATEGIES if not _refusal(training, settings, name, Cluster(0, cards, hosts)))
        return min((training.plan(name, cards, settings).price for name in offered), key=lambda price: price.total)

    return pricing


def least_cards(training: Training, memory: int, start: int = 1) -> int | None:
    """The fewest cards, of so many bytes and `start` at least, on which it fits by some strategy; None: no number."""
    pricing = {count: cheapest(training, count) for count in (start,)}

    def fits(count: int) -> bool:
        return pricing.setdefault(count, cheapest(training, count))(training.tuned).total <= memory

    high = start
    while not fits(high):
        if high >= MOST:
            return None
        high *= 2
    low = max(start, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return high


def _plans(training: Training, cards: int, *, offload: bool = False) -> dict[Strategy, Plan]:
    return {name: training.plan(name, cards, offload=offload) for name in STRATEGIES}


def _offloaded(training: Training, cluster: Cluster, ram: int) -> list[str]:
    """Print the same where weights, gradients and states wait in the hosts' memory; what of it would fit."""
    plans = {name: plan for name, plan in _plans(training, cluster.world, offload=True).items() if plan.host}
    print("  with offload: weights, gradients and optimiser states are kept in the host's memory")
    for line in table(plans, cluster.memory):
        print(line)
    needs = {name: plan.host * cluster.cards_a_host for name, plan in plans.items()}
    for name, need in needs.items():
        each = f"{cluster.cards_a_host} x {gib(plans[name].host)} = {gib(need)}"
        print(f"  each host, {name}: {each}, {'fits' if need <= ram else 'does not fit'} into {gib(ram)}")
    fits = [name for name in fitting(plans, cluster.memory) if needs[name] <= ram]
    try:
        Launch(offload=True)
    except ValidationError as error:  # priced all the same, for plans on paper
        print(fill(f"  launch.offload is {_reasons(error)}", WIDE, subsequent_indent="    "))
        return []
    return [f"offload to the hosts by {', '.join(fits)}"] if fits else []


def _ways(training: Training, cluster: Cluster) -> Iterator[str]:
    """What else to change: settings, then the number of cards."""
    divides = not training.looks_at_whole_batch()
    for way in smaller(training.tuned, cheapest(training, cluster.world), cluster.memory, divides=divides):
        yield way.sentence(training.section)
    count = least_cards(training, cluster.memory, cluster.world)
    if count is None:
        yield (
            "no number of these GPUs is enough: a single layer and the activations of a batch do not fit; use larger "
            "GPUs, or shorter rows (template.max_length)"
        )
    else:
        price = cheapest(training, count)(training.tuned)
        yield f"use {count:,} of these GPUs instead of {cluster.world:,} ({gib(price.total)} of each)"


def _refusal(training: Training, settings: Any, strategy: Strategy, cluster: Cluster) -> str:
    """Why the stage does not take this strategy with `settings`; "" where it does."""
    kind = type(training.settings)
    if "launch" not in kind.model_fields or strategy == "ddp":
        return ""
    launch = {"processes": cluster.cards_a_host, "nodes": cluster.hosts, "strategy": strategy}
    try:
        kind.model_validate({**settings.model_dump(), "launch": launch})
    except ValidationError as error:
        return _reasons(error)
    return ""


def _reasons(error: ValidationError) -> str:
    return "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())


def _command(training: Training, strategy: Strategy, cluster: Cluster) -> str:
    values = {"strategy": strategy, "processes": cluster.cards_a_host, "nodes": cluster.hosts}
    return "temper run " + " ".join(f"--set {training.section}.launch.{name}={value}" for name, value in values.items())
