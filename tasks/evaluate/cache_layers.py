"""Layers of transformers' cache with room for more tokens: those that are there do not move when some are added.

transformers' own puts all of a layer into new memory with every token.

Shapes: `B` rows, `H` heads, `T` tokens, `D` width of a head. Keys and values are (B, H, T, D).
"""

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

ROOM = 32
"""Tokens for which there is room before all are moved."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A layer that sees all tokens."""

    def __init__(self) -> None:
        super().__init__()
        self._rooms: tuple[torch.Tensor, ...] = ()

    @classmethod
    def of(cls, layer: DynamicLayer) -> DynamicLayer:
        """An empty layer in the place of `layer`, which is one of transformers' own."""
        return RoomySlidingLayer(layer.sliding_window) if isinstance(layer, DynamicSlidingWindowLayer) else cls()

    def put(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take these in the place of all that is there."""
        self.keys, self.values, self._rooms = keys, values, ()

    def put_rows(self, layer: Any, rows: torch.Tensor) -> None:
        """Take `rows` (B) of another layer in the place of all that is there, with room for more."""
        tokens = layer.keys.shape[2]
        self._rooms = tuple(_room(values, len(rows), tokens) for values in (layer.keys, layer.values))
        for room, values in zip(self._rooms, (layer.keys, layer.values), strict=True):
            torch.index_select(values, 0, rows, out=room[:, :, :tokens])
        self.keys, self.values = (room[:, :, :tokens] for room in self._rooms)

    def put_moved(self, layer: Any, pads: list[int]) -> None:
        """Take the only row of another layer as many times as there are `pads`, each so many tokens further right."""
        tokens = layer.keys.shape[2]
        self._rooms = tuple(_room(values, len(pads), tokens) for values in (layer.keys, layer.values))
        for room, values in zip(self._rooms, (layer.keys, layer.values), strict=True):
            room[:, :, : max(pads)] = 0  # nobody looks there, but 0 times what is not a number is none
            for row, moved in enumerate(pads):
                room[row, :, moved:tokens] = values[0, :, : max(0, tokens - moved)]
        self.keys, self.values = (room[:, :, :tokens] for room in self._rooms)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add keys and values of some tokens; return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.put(key_states[:, :, :0], value_states[:, :, :0])
        before = self.keys.shape[2]
        tokens = before + key_states.shape[2]
        if not self._rooms or tokens > self._rooms[0].shape[2]:
            self._rooms = tuple(_room(values, len(values), tokens) for values in (self.keys, self.values))
            for room, values in zip(self._rooms, (self.keys, self.values), strict=True):
                room[:, :, :before] = values
        for room, added in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, before:tokens] = added
        self.keys, self.values = (room[:, :, :tokens] for room in self._rooms)
        return self.keys, self.values


class RoomySlidingLayer(RoomyLayer, DynamicSlidingWindowLayer):  # type: ignore[misc]
    """A layer that sees a window of the last tokens, and keeps those before it: a row that moves may need them."""

    def __init__(self, sliding_window: int) -> None:
        DynamicSlidingWindowLayer.__init__(self, sliding_window)
        self._rooms = ()

    def put(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take these in the place of all that is there."""
        super().put(keys, values)
        self.cumulative_length = keys.shape[2]

    def put_rows(self, layer: Any, rows: torch.Tensor) -> None:
        """Take `rows` (B) of another layer in the place of all that is there, with room for more."""
        super().put_rows(layer, rows)
        self.cumulative_length = self.keys.shape[2]

    def put_moved(self, layer: Any, pads: list[int]) -> None:
        """Take the only row of another layer as many times as there are `pads`, each so many tokens further right."""
        super().put_moved(layer, pads)
        self.cumulative_length = self.keys.shape[2]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add keys and values of some tokens; return those that a window may show."""
        keys, values = super().update(key_states, value_states)
        self.cumulative_length = keys.shape[2]
        seen = self.sliding_window - 1 + key_states.shape[2]
        return keys[:, :, -seen:], values[:, :, -seen:]


def _room(values: torch.Tensor, rows: int, tokens: int) -> torch.Tensor:
    _, heads, _, width = values.shape
    return values.new_empty(rows, heads, tokens + ROOM, width)
