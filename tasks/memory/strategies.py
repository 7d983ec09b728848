"""What each of several cards takes of a training, by what is divided among them.

    plan("fsdp2", Work(need, stages, "adamw_torch", cards=8, computing=2, card=True)).price.total

ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054, section 3) divides the states of the optimiser among N cards, then
gradients (ZeRO-2), then weights (ZeRO-3), which are gathered where they are needed. FSDP2 divides all of them too, by
rows (https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html). Weights and gradients have the types that
they have on one card, as `tasks.training` trains by all strategies; DeepSpeed's optimiser keeps what is trained once
more, and gathers what autocast makes 16 bits of in 16 bits.
"""

from collections import Counter
from dataclasses import dataclass, replace

from tasks.memory.passes import Pass, Stages
from tasks.memory.price import Need, Price, overhead, step_bytes
from tasks.memory.tensors import Division, count, held, numbers, padded, rows
from tasks.training.optimizers import state_bytes

REDUCED = 4
"""Bytes of a number of the gradients that autocast leaves wide, as DeepSpeed adds them up among cards."""

BUCKET, PREFETCHED, LIVE, PERSISTENT, GROUP = 500_000_000, 50_000_000, 1_000_000_000, 100_000, 1_000_000_000
"""DeepSpeed 0.19 unless its configuration says otherwise: reduce_bucket_size, stage3_prefetch_bucket_size,
stage3_max_live_parameters, stage3_param_persistence_threshold, sub_group_size; numbers (https://www.deepspeed.ai/docs/config-json/)."""


@dataclass(frozen=True)
class Moment:
    """What is there at one time of a step besides weights and optimiser states, in bytes."""

    gradients: int
    """That have come to this card."""
    gathered: int = 0
    buckets: int = 0
    activations: int = 0
    logits: int = 0

    @property
    def passing(self) -> int:
        """What comes and goes within a pass."""
        return self.gathered + self.buckets + self.activations + self.logits

    @property
    def total(self) -> int:
        """All of it."""
        return self.gradients + self.passing


@dataclass(frozen=True)
class Shares:
    """What a card holds all the time, in bytes, and the moments of a step that may be the fullest."""

    weights: int
    optimizer: int
    passes: tuple[Moment, ...]
    """Of the pass forward and back."""
    step: Moment
    """Of the optimiser's step, where the gradients are."""
    waiting: int
    """What waits in the host's memory under offload, gradients with it."""
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
    accumulated: bool = False
    """Whether gradients of an earlier pass are there already."""
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
    weights, optimizer, host = work.copies * shares.weights, shares.optimizer, 0
    moments = [*shares.passes, shares.step]
    if offload:
        host = shares.waiting + (work.copies - 1) * (shares.weights - shares.stays)
        weights, optimizer = work.copies * shares.stays, 0
        moments = [replace(moment, gradients=0) for moment in shares.passes]
    elif work.accumulated:
        moments = [replace(moment, gradients=shares.step.gradients) for moment in moments]
    fullest = max(moments, key=lambda moment: moment.total)
    price = Price(
        weights=weights,
        gradients=fullest.gradients,
        optimizer=optimizer,
        activations=fullest.activations,
        logits=fullest.logits,
        overhead=overhead(fullest.passing, work.card),
        gathered=fullest.gathered,
        buckets=fullest.buckets,
    )
    return Plan(price, host)


def _fsdp2(work: Work) -> Shares:
    """Weights, gradients and states in rows; a block whole while it computes, and the next one on its way.

    The head stays whole from the end of the pass forward to its gradients. Gradients of a block are there as autograd
    makes them, then once more in the bucket in which they are added up: torch keeps one bucket until the next. Those of
    a head that is the embedding too wait for the other half, to the end of the pass.
    """
    parts, cards, stages, weights = work.need.parts, work.cards, work.stages, work.need.parts.everything
    last = parts.embedding or parts.head
    head, block, end = (padded(part, cards, rows) for part in (parts.head, parts.block, last))
    of_head, of_block, of_end = (padded(part, cards, rows, trained=True) for part in (parts.head, parts.block, last))
    gradients = held(weights, cards, rows, trained=True)
    late = gradients - held(last, cards, rows, trained=True)
    early = held(parts.head, cards, rows, trained=True) if parts.embedding else 0
    one_block = max(stages.blocks.peak - stages.kept, 0)
    return Shares(
        weights=held(weights, cards, rows),
        optimizer=work.states(rows),
        passes=(
            Moment(0, head + block, 0, *_split(stages.loss)),
            Moment(early, head + block, 2 * of_head if parts.embedding else of_head, stages.kept),
            Moment(early, 2 * block, of_block + max(of_block, of_head), *_split(stages.blocks)),
            Moment(late, 2 * block, 2 * of_block, one_block),
            Moment(late, end, of_block, *_split(stages.embedding)),
            Moment(late, end, 2 * of_end),
        ),
        step=Moment(gradients, activations=work.step(gradients, rows)),
        waiting=held(weights, cards, rows) + gradients + work.states(rows),
    )


def _zero2(work: Work) -> Shares:
    """Weights whole; a share of gradients and states, and of what is trained once more."""
    return _zero(work, held(work.need.parts.everything), 0, stays=True)


def _zero3(work: Work) -> Shares:
    """A share of weights, gradients and states; of the whole weights as many numbers as DeepSpeed lets live."""
    parts, computing = work.need.parts, work.computing
    small = Counter({one: many for one, many in parts.everything.items() if one.numbers < PERSISTENT})
    largest = max(padded(part, 1, numbers, most=computing) for part in (parts.block, parts.head, parts.embedding))
    live = max(largest + PREFETCHED * computing, LIVE * computing) + padded(small, 1, numbers, most=computing)
    everything = padded(parts.everything, 1, numbers, most=computing)
    return _zero(work, held(parts.everything, work.cards), min(live, everything), stays=False)


def _zero(work: Work, weights: int, live: int, *, stays: bool) -> Shares:
    """Both: buckets of gradients, one for each type in which they travel; a step over all numbers of a group."""
    parts = work.need.parts
    own, gradients = (
        count(parts.everything, work.cards, trained=True),
        held(parts.everything, work.cards, trained=True),
    )
    group = own if stays else min(own, GROUP)
    wide = any(one.trained for one in (*parts.head, *parts.embedding))  # beside those of the linear layers
    bucket = max(BUCKET, work.need.largest) * sum({work.computing, REDUCED} if wide else {work.computing})
    step = step_bytes(work.optimizer, 4 * group, group, group, card=work.card)
    loss, blocks = _split(work.stages.loss), _split(work.stages.blocks)
    return Shares(
        weights=weights,
        optimizer=4 * own + work.states(numbers),
        passes=(Moment(0, live, bucket, *loss), Moment(gradients, live, bucket, *blocks)),
        step=Moment(gradients, activations=step),
        waiting=(0 if stays else weights) + gradients + 4 * own + work.states(numbers),
        stays=weights if stays else 0,
    )


def _split(stage: Pass) -> tuple[int, int]:
    """Activations without logits, and logits."""
    return stage.peak - stage.logits, stage.logits
