"""What to change where training does not fit: the settings that cost the least and would fit, each of them priced.

smaller(settings, lambda changed: price(...), 24 * 2**30)  # [Way("set train.gradient_checkpointing to true", ...)]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.training.methods import METHODS
from tasks.training.optimizers import state_bytes

if TYPE_CHECKING:
    from tasks.memory.price import Price

WANTED = 2
"""Ways that are shown."""

Pricing = Callable[[Any], "Price"]
"""The price of training by changed settings."""


@dataclass(frozen=True)
class Way:
    """Settings to change, by their names, and what training then takes."""

    changes: dict[str, Any]
    price: "Price"

    def sentence(self, section: str) -> str:
        """The changes for params.yaml, with the memory that they lead to."""
        parts = [f"{section}.{name} to {_shown(value)}" for name, value in self.changes.items()]
        return f"set {' and '.join(parts)} ({self.price.total / 2**30:.2f} GiB)"


def smaller(settings: Any, pricing: Pricing, memory: int, *, divides: bool = True) -> list[Way]:
    """Up to two ways to fit into `memory` bytes, the cheapest first; none is what `settings` say already.

    `divides`: whether a batch may become several smaller ones, which the loss has to allow.
    """
    ways: list[Way] = []
    for changes in _variants(settings):
        if len(ways) == WANTED:
            break
        if any(way.changes.items() < changes.items() and changes.keys() - way.changes == {"optimizer"} for way in ways):
            continue  # it fits without
        changed = settings.model_copy(update=changes)
        if (way := _fitting(changed, changes, pricing, memory, divides)) is not None:
            ways.append(way)
    return ways


def largest(settings: Any, pricing: Pricing, memory: int) -> Way | None:
    """The most items at one time that fit into `memory` bytes and divide the effective batch, which stays as it is.

    None where not one does.
    """
    effective = settings.batch_size * settings.gradient_accumulation
    whole = {"batch_size": effective, "gradient_accumulation": 1}
    return _fitting(settings.model_copy(update=whole), whole, pricing, memory, divides=True)


def _fitting(changed: Any, changes: dict[str, Any], pricing: Pricing, memory: int, divides: bool) -> Way | None:
    """`changes` as they are where they fit; else, where that `divides`, a smaller batch and as many more passes."""
    price = pricing(changed)
    if changes and price.total <= memory:
        return Way(changes, price)
    size = changed.batch_size
    if not divides or size == 1 or (one := pricing(changed.model_copy(update={"batch_size": 1}))).total > memory:
        return None
    each = max(1, (price.total - one.total) // (size - 1))
    most = 1 + (memory - one.total) // each
    for part in sorted((part for part in range(1, size) if size % part == 0 and part <= most), reverse=True):
        batch = {"batch_size": part, "gradient_accumulation": changed.gradient_accumulation * (size // part)}
        price = pricing(changed.model_copy(update=batch))
        if price.total <= memory:
            return Way({**changes, **batch}, price)
    return None


def _variants(settings: Any) -> Iterator[dict[str, Any]]:
    """Settings that take less, from what costs nothing of the result to what changes it; {}: only the batch."""
    yield {}
    cheaper = {} if settings.gradient_checkpointing else {"gradient_checkpointing": True}
    if cheaper:
        yield cheaper
    method = getattr(settings, "method", None)
    if method is None:
        return
    own = METHODS[method].kind is None
    if own and settings.optimizer == "adamw_torch":  # the same steps, without a number a weight for a moment
        yield {"optimizer": "adamw_torch_fused"}
        if cheaper:
            yield {**cheaper, "optimizer": "adamw_torch_fused"}
    if own and state_bytes(settings.optimizer) > state_bytes("adamw_8bit"):
        yield {**cheaper, "optimizer": "adamw_8bit"}
    if own:
        yield {**cheaper, "method": "lora"}
    if not settings.quantized:
        yield {**cheaper, "method": "qlora"}


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
