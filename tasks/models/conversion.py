"""How the tensors in a model's files become its weights, and back: by transformers' own rules, one group at a time.

Many families are stored in another form than transformers 5 holds them: each expert by itself where the model has one
parameter for all of them, or under names with another prefix. A group is the least that is converted together.

    layout = Layout(model, stored_tensors(folder))
    layout.by_weight["model.layers.0.mlp.experts.gate_up_proj"].read()  # all experts of one layer, and nothing else
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import ModelError
from tasks.models.private_transformers import Conversion, conversions, revert
from tasks.models.shards import StoredTensor


@dataclass(frozen=True)
class Group:
    """Tensors of the files, and the weights that they become together."""

    stored: dict[str, StoredTensor]
    """By their names in the files."""
    shapes: dict[str, tuple[int, ...]]
    """Of the weights, by their names in the model."""
    conversion: Conversion
    layout: "Layout"

    @property
    def plain(self) -> StoredTensor | None:
        """The tensor that is the weight as it lies in the file, at most under another name; None for any other."""
        return next(iter(self.stored.values())) if self.conversion.rule is None else None

    @property
    def first(self) -> StoredTensor:
        """The first one of the tensors."""
        return next(iter(self.stored.values()))

    def read(self) -> dict[str, torch.Tensor]:
        """The weights, in the type in which they are stored."""
        return self.conversion.convert({name: tensor.read() for name, tensor in self.stored.items()}, self.layout)

    def stored_again(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What `weights`, all of the group's, are in the files, under the names that they have there."""
        if self.conversion.rule is None:
            return {next(iter(self.stored)): next(iter(weights.values()))}
        return {self._own(name): tensor for name, tensor in revert(weights, self.layout).items()}

    def reversible(self) -> bool:
        """Whether `stored_again` gives each tensor of the files back, by its name and its shape."""
        if self.conversion.rule is None:
            return True
        try:
            back = self.stored_again({name: _hollow(shape) for name, shape in self.shapes.items()})
        except (ValueError, RuntimeError, KeyError, TypeError, AttributeError):
            return False
        shapes = {name: tuple(tensor.shape) for name, tensor in back.items()}
        return shapes == {name: tensor.shape for name, tensor in self.stored.items()}

    def _own(self, name: str) -> str:
        """`name` as the files have it: with or without what stands before the names of the inner model."""
        if name in self.stored:
            return name
        alike = [own for own in self.stored if name.endswith(f".{own}") or own.endswith(f".{name}")]
        return alike[0] if len(alike) == 1 else name


class Layout:
    """The weights of `model`, which nothing was put on yet, and where in `stored` (the tensors of a folder) they lie.

    Raises `ModelError` where tensors do not fit together, such as experts of which one is missing.
    """

    def __init__(self, model: Any, stored: dict[str, StoredTensor]) -> None:
        self.config: Any = model.config
        self.shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
        self.groups = [self._group(conversion, stored) for conversion in conversions(model, stored, self)]
        self.by_weight = {name: group for group in self.groups for name in group.shapes}
        """The group of each weight that is stored, by its name in the model."""
        self.unread = sorted(set(stored) - {name for group in self.groups for name in group.stored})
        """Names of what the files hold and the model does not read, such as layers that predict further tokens."""

    def get_parameter(self, name: str) -> torch.Tensor:
        """A tensor without numbers, in the shape of a weight: what transformers' rules ask a model for."""
        return _hollow(self.shapes[name])

    def stored_name(self, name: str) -> str:
        """What a weight that the files lack would be called in them."""
        return next(iter(revert({name: _hollow(self.shapes[name])}, self)))

    def _group(self, conversion: Conversion, stored: dict[str, StoredTensor]) -> Group:
        own = {name: stored[name] for _, name in conversion.parts}
        if conversion.rule is None:
            return Group(own, {conversion.first: next(iter(own.values())).shape}, conversion, self)
        try:
            weights = conversion.convert({name: _hollow(tensor.shape) for name, tensor in own.items()}, self)
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            first: Path = next(iter(own.values())).file
            raise ModelError(
                f"{first.parent}: {len(own)} tensors, such as {next(iter(own))}, cannot be combined into "
                f"{conversion.first} ({' '.join(str(error).split())[:200]}); restore the files of the model."
            ) from None
        return Group(own, {name: tuple(weight.shape) for name, weight in weights.items()}, conversion, self)


def _hollow(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, device="meta")
