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

ACROSS = ("LILY", "SHADOW", "XLORA", "POLY")
"""Kinds of peft in whose adapters what a token becomes depends on the tokens that pass with it, or on its row."""


@dataclass(frozen=True)
class KeyValues:
    """What a model remembers of each row. None of the methods changes it."""

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
        cache.activate_past_recording()  # a row that moves to the right needs what left the window of a longer one
        return cls(cache, torch.zeros(1, dtype=torch.long, device=model.device), 0).if_known()

    def if_known(self) -> Self | None:
        """Itself, if each layer keeps keys and values as they are handled here."""
        known = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in self.cache.layers)
        return self if known and type(self.cache) is DynamicCache else None

    def extended(self, tokens: int) -> Self:
        """The same after the model has put `tokens` more tokens into its cache."""
        return replace(self, length=self.length + tokens)

    def rows(self, rows: torch.Tensor, shifts: torch.Tensor | None = None) -> Self:
        """Those of `rows` (B), each moved to the right by `shifts` (B) tokens; what is moved out is lost."""
        if shifts is None or not shifts.any():
            same = len(self.pads) == 1
            taken = self._with(lambda values: values.expand(len(rows), -1, -1, -1) if same else values[rows])
            return replace(taken, pads=self.pads[rows])
        places = (torch.arange(self.length, device=rows.device) - shifts[:, None]).clamp(min=0)  # (B, T)
        moved = self._with(lambda values: values.transpose(1, 2)[rows[:, None], places].transpose(1, 2))
        return replace(moved, pads=self.pads[rows] + shifts)

    def wide(self, length: int) -> Self:
        """The same with padding before each row, or less of it, so that it has `length` tokens."""
        more = length - self.length
        widened = self._with(lambda values: pad(values, (0, 0, more, 0)), length)
        return replace(widened, pads=self.pads + more, length=length)

    def joined(self, more: Self) -> Self:
        """Those rows, and the rows of `more`, without padding that no row needs."""
        shortest = max(one.length - int(one.pads.min()) for one in (self, more))
        one, other = self.wide(shortest), more.wide(shortest)
        layers = zip(one.cache.layers, other.cache.layers, strict=True)
        pairs = iter([(a.keys, b.keys, a.values, b.values) for a, b in layers if a.is_initialized])
        for layer in one.cache.layers:
            if layer.is_initialized:
                keys, more_keys, values, more_values = next(pairs)
                layer.keys, layer.values = torch.cat([keys, more_keys]), torch.cat([values, more_values])
        return replace(one, pads=torch.cat([one.pads, other.pads]))

    def _with(self, change: Callable[[Any], torch.Tensor], length: int | None = None) -> Self:
        cache = copy(self.cache)
        cache.layers = [copy(layer) for layer in cache.layers]
        for layer in cache.layers:
            if layer.is_initialized:  # a layer may look at another's keys and values
                layer.keys, layer.values = change(layer.keys), change(layer.values)
            if length is not None and isinstance(layer, DynamicSlidingWindowLayer):
                layer.cumulative_length = length
        return replace(self, cache=cache)


def _of_tokens(model: Any) -> bool:
    """Whether a model with adapters treats each token by itself: they lie in its layers and look for no other token."""
    from peft.tuners.tuners_utils import BaseTuner

    return isinstance(model.base_model, BaseTuner) and not any(
        adapter.peft_type in ACROSS or getattr(adapter, "alora_invocation_tokens", None)
        for adapter in model.peft_config.values()
    )
