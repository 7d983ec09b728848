"""What training takes of memory, part by part, from the configuration of the base and the settings.

price("train", AutoConfig.from_pretrained(folder), settings, settings, batch, bfloat16=True, card=True).total
"""

from dataclasses import dataclass
from typing import Any

from tasks.memory.layers import by_layers
from tasks.memory.passes import Batch, Stages, measure_pass, measure_stages
from tasks.memory.skeleton import build, in_halves
from tasks.memory.tensors import Parts
from tasks.training.optimizers import state_bytes
from tasks.training.settings import Optimization
from tasks.training.tuning_settings import Tuning

CONTEXT = 600 * 2**20
"""Bytes of a card that CUDA, its kernels and cuBLAS hold before there is a tensor: 450 to 700 MiB, by the driver."""

FRAGMENTS = 0.04
"""Share of activations that PyTorch's allocator holds besides, in blocks that fit nothing."""

PROGRAM = 900 * 2**20
"""Bytes of the host that the libraries hold where there is no card."""

EACH = ("adamw_torch", "adagrad", "rmsprop", "sgd")
"""Optimisers that compute for all weights at one time on a card, and hold one number a weight for it."""


@dataclass(frozen=True)
class Need:
    """What training takes on one card, in bytes, before any of it is divided."""

    weights: int
    trained: int
    """Weights that are trained."""
    gradients: int
    remainders: int
    """What rounding left over."""
    largest: int
    """The most weights in a trained tensor."""
    peak: int
    """The most in use in a pass, weights apart."""
    logits: int
    """Among them."""
    parts: Parts
    """The weights, as cards divide them."""


@dataclass(frozen=True)
class Price:
    """What training takes of each card at the moment of its largest need, in bytes; the parts add up to it."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """What a pass keeps and makes besides gradients and logits; where that is more, what an optimiser step makes."""
    logits: int
    overhead: int
    """Of CUDA and the allocator on a card; of the libraries on the host."""
    gathered: int = 0
    """Weights that stand whole for a moment, of those that are divided among cards."""
    buckets: int = 0
    """Gradients on their way to other cards."""

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by what they are for, in the order in which they are read."""
        names = ("weights", "gradients", "optimizer", "gathered", "buckets", "activations", "logits", "overhead")
        return {name: getattr(self, name) for name in names}

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.parts.values())


def price(
    what: str,
    config: Any,
    tuning: Tuning,
    settings: Optimization,
    batch: Batch,
    *,
    bfloat16: bool,
    card: bool,
    processes: int = 1,
) -> Price:
    """The need of the stage `what`, which tunes the base with transformers' `config` on batches like `batch`.

    `processes`: each holds all and exchanges gradients (DDP). Raises `SettingsError` where the method does not fit the
    base.
    """
    need = measure(what, config, tuning, settings, batch, bfloat16=bfloat16)
    return whole(need, settings.optimizer, card=card, processes=processes)


def measure(what: str, config: Any, tuning: Tuning, settings: Optimization, batch: Batch, *, bfloat16: bool) -> Need:
    """What a training takes on one card; the arguments are those of `price`."""

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
            parts=skeleton.parts,
        )

    return by_layers(config, tuning, at)


def measure_divided(
    what: str,
    config: Any,
    tuning: Tuning,
    settings: Optimization,
    batch: Batch,
    *,
    bfloat16: bool,
    halves: bool,
    cached: bool,
) -> Stages:
    """What passes take of which no gradient stays; further arguments are those of `price`.

    `halves`: weights are gathered in 16 bits where that is computed in. `cached`: else autocast keeps what it makes of
    them till the end of the pass forward.
    """
    if bfloat16 and halves:
        config, tuning = in_halves(config, tuning)

    def at(layers: Any) -> Stages:
        skeleton = build(
            what, layers, tuning, bfloat16=bfloat16, checkpointed=settings.gradient_checkpointing, scores=batch.scores
        )
        return measure_stages(skeleton, batch, cached=cached)

    return by_layers(config, tuning, at)


def whole(need: Need, optimizer: str, *, card: bool, processes: int = 1) -> Price:
    """The price of `need` where each card holds all of it; several `processes` exchange gradients (DDP)."""
    step = step_bytes(optimizer, need.gradients, need.trained, need.largest, card=card)
    working = max(need.peak - need.gradients, step)
    logits = min(need.logits, working)
    buckets = need.gradients if processes > 1 else 0
    return Price(
        weights=need.weights,
        gradients=need.gradients,
        optimizer=round(state_bytes(optimizer) * need.trained) + need.remainders,
        activations=working - logits,
        logits=logits,
        overhead=overhead(working + buckets, card),
        buckets=buckets,
    )


def step_bytes(optimizer: str, gradients: int, trained: int, largest: int, *, card: bool) -> int:
    """What a step of the optimiser makes for a moment, of `trained` weights with so many bytes of gradients.

    `largest`: the most weights in a tensor.
    """
    if gradients < 4 * trained:  # each weight of 16 bits is stepped alone, with its gradient, in float32
        return 16 * largest
    return 4 * trained if card and optimizer in EACH else 8 * largest


def overhead(working: int, card: bool) -> int:
    """What is taken besides where `working` bytes come and go."""
    return CONTEXT + round(FRAGMENTS * working) if card else PROGRAM
