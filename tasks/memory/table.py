"""Strategies side by side for a number of cards: what each takes of a card, how that is computed, which ones fit."""

from collections.abc import Iterator, Mapping
from typing import get_args

from tasks.memory.strategies import LIVE, Plan
from tasks.memory.tensors import count
from tasks.memory.workloads import Training
from tasks.training.launch import Strategy
from tasks.training.optimizers import state_bytes

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

GIB = 2**30

NAMES = {
    "weights": "weights", "gradients": "gradients", "optimizer": "optimiser", "gathered": "gathered",
    "buckets": "buckets", "activations": "activations", "logits": "logits", "overhead": "overhead",
}  # fmt: skip
"""How the parts of a price are called."""

ALWAYS = ("weights", "gradients", "optimizer", "activations", "logits", "overhead")
"""Those that one card has too."""

FIRST, OTHER = 18, 10
"""Characters of the first column, and of each other one."""


def table(plans: Mapping[Strategy, Plan], memory: int) -> Iterator[str]:
    """The lines of a table in GiB: a row a part that is there, a column a strategy. Under 80 characters wide."""
    prices = [plan.price for plan in plans.values()]
    yield _row("GiB a card", list(plans))
    for part, name in NAMES.items():
        if any(price.parts[part] for price in prices):
            yield _row(name, [_cell(price.parts[part]) for price in prices])
    yield _row("in all", [_cell(price.total) for price in prices])
    yield _row("left of the card", [_cell(memory - price.total) for price in prices])
    if any(plan.host for plan in plans.values()):
        yield _row("of its host", [_cell(plan.host) for plan in plans.values()])


def arithmetic(training: Training, cards: int) -> Iterator[str]:
    """How what a card holds comes about, a line a strategy: bytes a number times numbers."""
    settings, need = training.tuned, training.need(training.tuned)
    weights, trained = count(need.parts.everything), count(need.parts.everything, trained=True)
    held, of_gradient = need.weights / weights, need.gradients / max(trained, 1)
    state, computing = state_bytes(settings.optimizer), training.computing(settings)
    block, head = (_billions(count(part)) for part in (need.parts.block, need.parts.head))
    yield f"  W = {_billions(weights)} weights, T = {_billions(trained)} of them trained, N = {cards:,} cards"
    yield f"  B = {block} in the largest block, H = {head} in the head"
    own = f"{of_gradient:.3g} T + {state:g} T"
    yield f"  ddp    {held:.3g} W + {own}, and {of_gradient:.3g} T in buckets"
    yield f"  fsdp2  ({held:.3g} W + {own}) / N; gathered {held:.3g} (H + B) or 2 x {held:.3g} B"
    yield f"  zero2  {held:.3g} W + ({own} + 4 T) / N; 4 T: what is trained once more, in float32"
    yield f"  zero3  ({held:.3g} W + {own} + 4 T) / N; gathered {computing} x {LIVE / 1e9:g}e9, or all if that is less"


def fitting(plans: Mapping[Strategy, Plan], memory: int) -> list[Strategy]:
    """The strategies that fit into `memory` bytes a card, in the order of the table."""
    return [name for name, plan in plans.items() if plan.price.total <= memory]


def gib(size: int) -> str:
    """`size` bytes for a person; MiB where two decimals would show next to nothing.

    >>> gib(3 * 2**29), gib(3 * 2**20)
    ('1.50 GiB', '3.0 MiB')
    """
    return f"{size / GIB:.2f} GiB" if size >= GIB / 100 else f"{size / 2**20:.1f} MiB"


def _row(name: str, cells: list[str]) -> str:
    return f"  {name:<{FIRST}}" + "".join(f"{cell:>{OTHER}}" for cell in cells)


def _cell(size: int) -> str:
    return f"{size / GIB:.2f}" if size else "-"


def _billions(number: int) -> str:
    return f"{number / 1e9:.3g}e9"
