"""What each of several cards takes of a training, by what is divided among them.

    plan("fsdp2", Work(need, stages, "adamw_torch", cards=8, computing=2, card=True)).price.total

ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054, section 3): with AdamW and arithmetic in 16 bits a card holds of W
weights 2 W for weights, 2 W for gradients and 12 W for the optimiser (weights in float32 and two states). ZeRO-2
divides the last two among N cards, ZeRO-3 all. FSDP2 divides weights, gradients and states as they are held, and
gathers them in 16 bits (MixedPrecisionPolicy; https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html).
"""

from collections import Counter
from dataclasses import dataclass

from tasks.memory.passes import Pass, Stages
from tasks.memory.price import Need, Price, overhead, step_bytes
from tasks.memory.tensors import Division, Tensors, count, gathered, held, numbers, rows
from tasks.training.optimizers import state_bytes

REDUCED = 4
"""Bytes of a number in which gradients are added up among cards (MixedPrecisionPolicy.reduce_dtype)."""

BUCKET, PREFETCHED, LIVE, PERSISTENT, GROUP = 500_000_000, 50_000_000, 1_000_000_000, 100_000, 1_000_000_000
"""DeepSpeed 0.19 unless its configuration says otherwise: reduce_bucket_size, stage3_prefetch_bucket_size,
stage3_max_live_parameters, stage3_param_persistence_threshold, sub_group_size; numbers (https://www.deepspeed.ai/docs/config-json/)."""


@dataclass(frozen=True)
class Moment:
    """What is there at one time of a step besides what is always there, in bytes."""

    gathered: int = 0
    buckets: int = 0
    activations: int = 0
    logits: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.gathered + self.buckets + self.activations + self.logits


@dataclass(frozen=True)
class Shares:
    """What a card holds all the time, in bytes, and the moments of a step that may be the fullest."""

    weights: int
    gradients: int
    optimizer: int
    passes: tuple[Moment, ...]
    """Of the pass forward and back."""
    step: Moment
    """Of the optimiser's step, which goes with what it holds."""
    waiting: int
    """What of it waits in the host's memory under offload."""
    stays: int = 0
    """Bytes of `weights` that stay on the card then."""


@dataclass(frozen=True)
class Plan:
    """What a card takes, and the host for it."""

    price: Price
    host: int = 0
    """Bytes of the host's memory for each card."""


@dataclass(frozen=True)
class Work:
    """What is divided, among how many, and how it is computed."""

    need: Need
    stages: Stages
    optimizer: str
    cards: int
    computing: int
    """Bytes of a number in the type that is computed in."""
    card: bool
    """Whether training goes on graphics cards."""
    copies: int = 1
    """2 where a copy of the model is there to compare with."""

    def states(self, division: Division) -> int:
        """Bytes that the optimiser keeps on the fullest card, with what rounding left over."""
        own = count(self.need.parts.everything, self.cards, division, trained=True)
        return round((state_bytes(self.optimizer) + self.need.remainders / max(self.need.trained, 1)) * own)

    def step(self, gradients: int, division: Division) -> int:
        """Bytes that an optimiser step makes for a moment, where a card has so many bytes of gradients."""
        own = count(self.need.parts.everything, self.cards, division, trained=True)
        largest = -(-self.need.largest // self.cards)
        return step_bytes(self.optimizer, gradients, own, largest, card=self.card)


def plan(strategy: str, work: Work, *, offload: bool = False) -> Plan:
    """What the fullest card takes under `strategy`: one that divides more than the rows.

    `offload`: weights, gradients and optimiser states that are not at work wait in the host's memory, where the
    optimiser steps too. ZeRO-2 keeps its weights on the card.
    """
    shares = {"fsdp2": _fsdp2, "zero2": _zero2, "zero3": _zero3}[strategy](work)
    weights, gradients, optimizer, host = work.copies * shares.weights, shares.gradients, shares.optimizer, 0
    moments = [*shares.passes, shares.step]
    if offload:
        host = shares.waiting + (work.copies - 1) * (shares.weights - shares.stays)
        weights, gradients, optimizer = work.copies * shares.stays, 0, 0
        moments = list(shares.passes)
    fullest = max(moments, key=lambda moment: moment.total)
    price = Price(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        activations=fullest.activations,
        logits=fullest.logits,
        overhead=overhead(fullest.total, work.card),
        gathered=fullest.gathered,
        buckets=fullest.buckets,
    )
    return Plan(price, host)


def _fsdp2(work: Work) -> Shares:
    """Weights, gradients and states in rows; a block whole while it computes, and the next one on its way.

    The head stays whole from the end of the pass forward to its gradients. Gradients of a block are there in the type
    of the arithmetic, then once more in float32 while they are added up: torch keeps one such bucket until the next.
    """
    parts, cards, computing = work.need.parts, work.cards, work.computing

    def unsharded(tensors: Tensors) -> int:
        return gathered(tensors, cards, rows, computing)

    def trained(tensors: Tensors) -> int:
        return sum(many * rows(one, cards) * cards for one, many in tensors.items() if one.trained)

    reduced = max(REDUCED, computing)
    head, block, embedding = trained(parts.head), trained(parts.block), trained(parts.embedding)
    weights, gradients = held(parts.everything, cards, rows), _gradients(parts.everything, cards)
    stages, at_head = work.stages, unsharded(parts.head) + unsharded(parts.block)
    return Shares(
        weights=weights,
        gradients=gradients,
        optimizer=work.states(rows),
        waiting=weights + gradients + work.states(rows),
        passes=(
            Moment(at_head, 0, *_split(stages.loss)),
            Moment(at_head, (computing + reduced) * head, stages.kept),
            Moment(2 * unsharded(parts.block), computing * block + reduced * max(block, head), *_split(stages.blocks)),
            Moment(unsharded(parts.embedding), reduced * (embedding + block), *_split(stages.embedding)),
        ),
        step=Moment(activations=work.step(gradients, rows)),
    )


def _zero2(work: Work) -> Shares:
    """Weights whole, in the type of the arithmetic; a share of gradients, and of weights and states in float32."""
    parts = work.need.parts
    return _zero(work, held(parts.everything, computing=work.computing), 0, stays=True)


def _zero3(work: Work) -> Shares:
    """A share of weights, gradients and states; of the whole weights as many numbers as DeepSpeed lets live."""
    parts, computing = work.need.parts, work.computing
    small = Counter({one: many for one, many in parts.everything.items() if one.numbers < PERSISTENT})
    largest = max(gathered(unit, 1, numbers, computing) for unit in (parts.block, parts.head, parts.embedding))
    everything = gathered(parts.everything, 1, numbers, computing)
    live = max(largest + PREFETCHED * computing, LIVE * computing) + gathered(small, 1, numbers, computing)
    weights = held(parts.everything, work.cards, computing=computing)
    return _zero(work, weights, min(live, everything), stays=False)


def _zero(work: Work, weights: int, live: int, *, stays: bool) -> Shares:
    """Both: a bucket of gradients; in the step those of a card in float32, as they wait in the host's memory too."""
    own = count(work.need.parts.everything, work.cards, numbers, trained=True)
    group = own if stays else min(own, GROUP)
    bucket = work.computing * max(BUCKET, work.need.largest)
    return Shares(
        weights=weights,
        gradients=work.computing * own,
        optimizer=4 * own + work.states(numbers),
        passes=tuple(Moment(live, bucket, *_split(stage)) for stage in (work.stages.loss, work.stages.blocks)),
        step=Moment(activations=4 * group + step_bytes(work.optimizer, 4 * group, group, group, card=work.card)),
        waiting=(0 if stays else weights) + 8 * own + work.states(numbers),
        stays=weights if stays else 0,
    )


def _gradients(tensors: Tensors, cards: int) -> int:
    """Bytes of the gradients of a card under FSDP2, each in the type in which its weight is held."""
    return round(sum(many * rows(one, cards) * one.held for one, many in tensors.items() if one.trained))


def _split(stage: Pass) -> tuple[int, int]:
    """Activations without logits, and logits."""
    return stage.peak - stage.logits, stage.logits
