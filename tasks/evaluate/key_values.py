"""Keys and values of rows of tokens: copied to other rows, moved, and joined with those of more rows.

No padding stands within a row, only before it: windows, distances between tokens (ALiBi) and positions are those of the
row alone.

Shapes: `B` rows, `H` heads, `T` tokens, `D` width of a head. Keys and values are (B, H, T, D).
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from tasks.evaluate.cache_layers import RoomyLayer
from tasks.models.private_peft import lies_in_layers

LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)
"""What a model may keep of its tokens so that rows can be copied and moved."""

ACROSS = ("LILY", "SHADOW", "XLORA", "POLY")
"""Kinds of peft in whose adapters what a token becomes depends on the tokens that pass with it, or on its row."""


@dataclass(frozen=True)
class KeyValues:
    """What a model remembers of each row. No method changes it; a pass of the model does, which is its last use."""

    cache: DynamicCache
    pads: torch.Tensor
    """(B), tokens of padding before each row."""
    length: int
    """Tokens of each row with its padding."""

    @classmethod
    def empty(cls, model: Any) -> Self | None:
        """Of one row without tokens; None where a row of `model` cannot be copied or moved.

        It can where all that a model keeps of a token is its keys and values: a state that runs on (Mamba, linear
        attention) has no places. Some adapters put tokens of their own before each row, or look for one in it (aLoRA).
        """
        program = not isinstance(model, torch.nn.Module)  # llama.cpp
        if program or (hasattr(model, "peft_config") and not _of_tokens(model)):
            return None
        cache = DynamicCache(config=model.config)
        if type(cache) is not DynamicCache or not all(type(layer) in LAYERS for layer in cache.layers):
            return None
        cache.layers = [RoomyLayer.of(layer) for layer in cache.layers]
        return cls(cache, torch.zeros(1, dtype=torch.long, device=model.device), 0)

    def extended(self, tokens: int) -> Self:
        """What is known after a pass with `tokens` more tokens."""
        return replace(self, length=self.length + tokens)

    def rows(self, rows: torch.Tensor) -> Self:
        """Those of `rows` (B)."""
        return replace(self._with(lambda layer, new: new.put_rows(layer, rows)), pads=self.pads[rows])

    def moved(self, pads: list[int]) -> Self:
        """The only row as many, each to the right by as many tokens as stand in `pads`; what is moved out is lost."""
        moved = self._with(lambda layer, new: new.put_moved(layer, pads))
        return replace(moved, pads=torch.tensor(pads, device=self.pads.device))

    def wide(self, length: int) -> Self:
        """The same with padding before each row, or less of it, so that it has `length` tokens."""
        more = length - self.length
        if not more:
            return self
        widened = self._with(lambda layer, new: new.put(*(pad(one, (0, 0, more, 0)) for one in _of(layer))))
        return replace(widened, pads=self.pads + more, length=length)

    def joined(self, more: Self) -> Self:
        """Those rows, and the rows of `more`, without padding that no row needs."""
        shortest = max(one.length - int(one.pads.min()) for one in (self, more))
        one, other = self.wide(shortest), more.wide(shortest)
        others = iter([layer for layer in other.cache.layers if layer.is_initialized])
        both = one._with(lambda layer, new: new.put(*map(torch.cat, zip(_of(layer), _of(next(others)), strict=True))))
        return replace(both, pads=torch.cat([one.pads, other.pads]))

    def _with(self, put: Callable[[Any, Any], None]) -> Self:
        cache = copy(self.cache)
        cache.layers = [copy(layer) for layer in cache.layers]
        for layer, new in zip(self.cache.layers, cache.layers, strict=True):
            if layer.is_initialized:  # a layer may look at another's keys and values
                put(layer, new)
        return replace(self, cache=cache)


def _of(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return layer.keys, layer.values


def _of_tokens(model: Any) -> bool:
    """Whether a model with adapters treats each token by itself: they lie in its layers and look for no other token."""
    return lies_in_layers(model) and not any(
        adapter.peft_type in ACROSS or getattr(adapter, "alora_invocation_tokens", None)
        for adapter in model.peft_config.values()
    )
