"""What training takes of memory, part by part, from the configuration of the base and the settings.

price("train", AutoConfig.from_pretrained(folder), settings, settings, batch, bfloat16=True, card=True).total
"""

from dataclasses import dataclass
from typing import Any

from tasks.memory.layers import Need, by_layers
from tasks.memory.passes import Batch, measure_pass
from tasks.memory.skeleton import build
from tasks.training.optimizers import state_bytes
from tasks.training.settings import Optimization, Tuning

CONTEXT = 600 * 2**20
"""Bytes of a card that CUDA, its kernels and cuBLAS hold before there is a tensor: 450 to 700 MiB, by the driver."""

FRAGMENTS = 0.04
"""Share of activations that PyTorch's allocator holds besides, in blocks that fit nothing."""

PROGRAM = 900 * 2**20
"""Bytes of the host that the libraries hold where there is no card."""

EACH = ("adamw_torch", "adagrad", "rmsprop", "sgd")
"""Optimisers that compute for all weights at one time on a card, and hold one number a weight for it."""


@dataclass(frozen=True)
class Price:
    """What training takes at the moment of its largest need, in bytes; the parts add up to it."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """What a pass keeps and makes besides gradients and logits; where that is more, what an optimiser step makes."""
    logits: int
    overhead: int
    """Of CUDA and the allocator on a card; of the libraries on the host."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.overhead


def price(
    what: str, config: Any, tuning: Tuning, settings: Optimization, batch: Batch, *, bfloat16: bool, card: bool
) -> Price:
    """The need of the stage `what`, which tunes the base with transformers' `config` on batches like `batch`.

    Raises `SettingsError` where the method does not fit the base.
    """

    def at(layers: Any) -> Need:
        skeleton = build(
            what, layers, tuning, bfloat16=bfloat16, checkpointed=settings.gradient_checkpointing, scores=batch.scores
        )
        single = measure_pass(skeleton, batch, accumulated=settings.gradient_accumulation > 1)
        return Need(
            weights=skeleton.weights,
            trained=skeleton.trained,
            gradients=skeleton.gradients,
            remainders=skeleton.remainders,
            largest=skeleton.largest,
            peak=single.peak + skeleton.unpacked,
            logits=single.logits,
        )

    need = by_layers(config, tuning, at)
    gradients = need.gradients
    if gradients < 4 * need.trained:  # each weight of 16 bits is stepped alone, with its gradient, in float32
        step = 16 * need.largest
    else:
        step = 4 * need.trained if card and settings.optimizer in EACH else 8 * need.largest
    working = max(need.peak - gradients, step)
    logits = min(need.logits, working)
    if getattr(settings, "processes", 1) > 1:  # buckets in which they exchange gradients
        working += gradients
    return Price(
        weights=need.weights,
        gradients=gradients,
        optimizer=round(state_bytes(settings.optimizer) * need.trained) + need.remainders,
        activations=working - logits,
        logits=logits,
        overhead=CONTEXT + round(FRAGMENTS * working) if card else PROGRAM,
    )
