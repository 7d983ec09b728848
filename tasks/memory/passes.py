"""A pass forward and back of a model without numbers: the most memory that PyTorch has in use at one time in it.

    skeleton = build("train", folder, Tuning(), bfloat16=True)
    measure_pass(skeleton, Batch(lines=4, tokens=2048, labelled=2048)).peak

Shapes: `B` lines of a batch, `T` tokens of a line, `K` labelled positions of a line, `H` hidden size, `V` vocabulary.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from tasks.memory.private_torch import LiveBytes
from tasks.memory.skeleton import Skeleton
from tasks.memory.tensors import blocks_of
from tasks.models.private_transformers import experts_on_paper
from tasks.training import row_attention
from tasks.training.lines import DENSE
from tasks.training.methods import METHODS
from tasks.training.settings import Batched

TILE_TOKENS, TILE_WIDTH = 4096, 32768
"""Logits that trl 1.16 makes at one time where it computes the loss in tiles: tokens, and entries of the vocabulary."""


@dataclass(frozen=True)
class Batch:
    """What goes through the model at one time."""

    lines: int
    """B; 1 where rows stand one after the other."""
    tokens: int
    """T."""
    labelled: int
    """K: positions of a line for which logits are made."""
    masked: bool = False
    """Whether attention goes by a mask of the shape (B, 1, T, T): where lines are padded, or hold several rows."""
    tiled: bool = False
    """Whether the loss is computed in tiles, without the logits of all positions at one time."""
    scores: bool = False
    """Whether a number is made of a line, and no logits."""
    rows: tuple[int, ...] = ()
    """Tokens of each row of the line, where attention goes over one at a time, if the model can; see
    `tasks.training.row_attention`. Otherwise `masked` holds."""


@dataclass(frozen=True)
class Pass:
    """Bytes at the moment at which most are in use, weights and optimiser states left out."""

    peak: int
    """All."""
    logits: int
    """Logits, their copies and their gradients."""


@dataclass(frozen=True)
class Stages:
    """A pass of which no gradient stays, as where each goes to its card as soon as it is there."""

    loss: Pass
    """Until the gradient comes to the last of the model's blocks."""
    kept: int
    """Bytes in use then."""
    blocks: Pass
    """While it goes through the blocks."""
    embedding: Pass
    """Afterwards; as `blocks` where it stops at the first one."""


class _TiledLoss(torch.autograd.Function):
    """The loss as trl's tiles take memory for it; its value says nothing."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, tile_type: Any) -> Any:
        ctx.save_for_backward(hidden, weight)
        ctx.tile_type = tile_type
        _tile(hidden, weight, tile_type)
        return hidden.new_zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, weight = ctx.saved_tensors
        total = torch.zeros(hidden.shape, dtype=torch.float32)
        of_weight = torch.zeros(weight.shape, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        _tile(hidden, weight, ctx.tile_type)
        return total.to(hidden.dtype), of_weight, None


def _tile(hidden: Any, weight: Any, tile_type: Any) -> None:
    width = min(TILE_WIDTH, weight.shape[0])
    tile = torch.empty((min(len(hidden), TILE_TOKENS), width), dtype=tile_type)
    part = weight[:width].to(tile_type)
    del tile, part


def measure_pass(skeleton: Skeleton, batch: Batch, *, accumulated: bool = False) -> Pass:
    """What a pass of the model takes for `batch`. `accumulated`: gradients of an earlier pass are there already."""
    trained = [weight for weight in skeleton.model.parameters() if weight.requires_grad]
    live = _counter(skeleton.model, batch)
    with skeleton.mode, live, experts_on_paper():
        if accumulated:
            for weight in trained:
                weight.grad = torch.zeros_like(weight)
        loss = _forward(skeleton, batch)
        loss.backward()
        del loss
        for weight in trained:
            weight.grad = None
    return Pass(live.peak, live.logits)


def measure_stages(skeleton: Skeleton, batch: Batch, *, cached: bool) -> Stages:
    """What a pass of the model takes for `batch` where a gradient goes to its card as soon as it is there.

    `cached`: autocast keeps the 16 bits that it makes of a weight till the end of the pass forward.
    """
    live = _counter(skeleton.model, batch)
    ends: list[Any] = []
    stages: list[Pass] = []
    kept: list[int] = []

    def enter(_block: Any, inputs: Any, named: Any) -> None:
        ends[1:] = []
        ends[:1] = ends[:1] or [named["hidden_states"] if "hidden_states" in named else inputs[0]]

    def leave(_block: Any, _inputs: Any, output: Any) -> None:
        ends[1:] = [output[0] if isinstance(output, tuple) else output]

    def arrive(_gradient: Any) -> None:
        stages.append(Pass(live.peak, live.logits))
        kept.append(live.now)
        live.begin_anew()

    trained = [weight for weight in skeleton.model.parameters() if weight.requires_grad]
    hooks = [weight.register_post_accumulate_grad_hook(_drop) for weight in trained]
    blocks = blocks_of(skeleton.model)
    of_blocks = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks]
    of_blocks += [block.register_forward_hook(leave) for block in blocks]
    with skeleton.mode, live, experts_on_paper():
        loss = _forward(skeleton, batch, cached)
        for hook in of_blocks:
            hook.remove()
        hooks += [end.register_hook(arrive) for end in ends if end.requires_grad]
        ends.clear()
        loss.backward()
        del loss
    for hook in hooks:
        hook.remove()
    last = Pass(live.peak, live.logits)
    first, then = stages[:1] or [last], stages[1:] or [last]
    return Stages(loss=first[0], kept=(kept or [0])[0], blocks=then[0], embedding=last)


def _drop(weight: Any) -> None:
    weight.grad = None


def _counter(model: Any, batch: Batch) -> LiveBytes:
    vocabulary = model.config.get_text_config().vocab_size
    widths = () if batch.scores else (vocabulary, min(TILE_WIDTH, vocabulary))
    return LiveBytes([*model.parameters(), *model.buffers()], widths)


def _forward(skeleton: Skeleton, batch: Batch, cached: bool = True) -> Any:
    computing: Any = torch.autocast("cpu", torch.bfloat16, cache_enabled=cached) if skeleton.bfloat16 else nullcontext()
    with computing:
        return _loss(skeleton.model, batch, torch.bfloat16 if skeleton.bfloat16 else torch.float32)


def _loss(model: Any, batch: Batch, tile_type: Any) -> Any:
    lines, tokens = batch.lines, batch.tokens
    inputs: dict[str, Any] = {"input_ids": torch.zeros(lines, tokens, dtype=torch.long)}  # (B, T)
    if not (batch.rows and row_attention.use(model, batch.rows)) and batch.masked:
        inputs["attention_mask"] = torch.ones(lines, 1, tokens, tokens, dtype=torch.bool)
    inputs["position_ids"] = torch.arange(tokens).expand(lines, tokens)
    if batch.scores:
        text = model.config.get_text_config()
        text.pad_token_id = text.pad_token_id or 0  # that of the tokenizer in training; without one there is no batch
        return model(**inputs, use_cache=False).logits.float().sum()
    targets = torch.zeros(lines * batch.labelled, dtype=torch.long)
    if not batch.tiled:
        logits = model(**inputs, use_cache=False, logits_to_keep=batch.labelled).logits  # (B, K, V)
        return cross_entropy(logits.flatten(0, 1).float(), targets, reduction="sum")
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = inner.base_model(**inputs, use_cache=False).last_hidden_state  # (B, T, H)
    head = inner.get_output_embeddings()
    tiled: Any = _TiledLoss.apply
    return tiled(hidden[:, -batch.labelled :].flatten(0, 1), head.weight, tile_type)


def batch_of(settings: Batched, longest: int, labelled: int, *, packed: bool, card: bool) -> Batch:
    """The batch with the most tokens that training by `settings` makes of rows, or packs, of `longest` tokens.

    `labelled`: positions with a loss in the longest one. `card`: it goes through a graphics card; on a processor the
    rows of a batch share one line.
    """
    count = settings.batch_size
    dense = card and longest * count > DENSE
    alone = settings.padding_free is True or (settings.padding_free == "auto" and not dense)
    together = alone and count > 1 and METHODS[getattr(settings, "method", "full")].side_by_side
    if (packed and card) or not (packed or together):
        return Batch(count, longest, labelled, masked=packed, tiled=card)
    rows = () if card else unlike(longest) * count if packed else (longest,) * count
    return Batch(1, longest * count, labelled * count, masked=True, tiled=card, rows=rows)


def unlike(tokens: int) -> tuple[int, ...]:
    """Rows of a pack of so many `tokens` that are filled up by the most where they go through attention side by side.

    >>> unlike(80)
    (10, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7)
    """
    longest = max(1, tokens // 8)
    shorter = max(1, math.ceil(row_attention.ALIKE * longest))
    count, rest = divmod(tokens - longest, shorter)
    return (longest, *(shorter,) * count, *((rest,) if rest else ()))
