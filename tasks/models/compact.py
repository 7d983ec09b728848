"""Layers whose weights are held in 16 bits and give what float32 weights of the same values give.

    compact(model)  # its linear layers and embeddings keep weights of 16 bits; all else becomes float32

Left to torch, 16-bit weights make 16-bit sums: what goes from block to block, the norms, the products of an adapter.
Here only the weights are small. A weight becomes wide where it is multiplied, for as long as that takes, in the
backward pass too; under autocast, which multiplies in bfloat16 anyway, it is taken as it is.

Shapes: x (..., in), weight (out, in), bias (out,).
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

HALVES = (torch.bfloat16, torch.float16)


class _Product(torch.autograd.Function):
    """`linear`, with the weight in the type of x for a moment; only the weight of 16 bits is kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        return linear(x, weight.to(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_x = gradient.matmul(weight.to(gradient.dtype)) if ctx.needs_input_grad[0] else None
        of_weight = of_bias = None
        if ctx.needs_input_grad[1]:
            of_weight = gradient.flatten(0, -2).T.matmul(x.flatten(0, -2)).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.flatten(0, -2).sum(0)
        return of_x, of_weight, of_bias


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x times the weight, in the type of autocast, or without it in that of x."""
    device = x.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    if weight.dtype == kind or weight.dtype not in HALVES:
        return linear(x, weight, bias)
    with torch.autocast(device, enabled=False):
        product: torch.Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            x.to(kind), weight, None if bias is None else bias.to(kind)
        )
        return product


class CompactLinear(torch.nn.Linear):
    """A linear layer whose weight may have 16 bits."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """x (..., in) to (..., out)."""
        return _product(input, self.weight, self.bias)


class CompactConv1D(Conv1D):  # type: ignore[misc]
    """The linear layer of GPT-2, whose weight stands as (in, out)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in) to (..., out)."""
        return _product(x, self.weight.T, self.bias)


class CompactEmbedding(torch.nn.Embedding):
    """Embeddings that may have 16 bits; what comes out has 32, since the sums between blocks begin with it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Token ids (...) to (..., width), in float32."""
        return super().forward(input).float()


class CompactScaledEmbedding(CompactEmbedding):
    """Embeddings times a number, as Gemma and others have them under names that end in ScaledWordEmbedding."""

    embed_scale: torch.Tensor | float

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Token ids (...) to (..., width), in float32."""
        return super().forward(input) * self.embed_scale


COMPACT = {torch.nn.Linear: CompactLinear, Conv1D: CompactConv1D, torch.nn.Embedding: CompactEmbedding}
"""The layer that takes the place of one of exactly this class; a subclass may do anything with its weight."""


def _compact_class(module: Any) -> type | None:
    """The class that takes the place of the module's own; None where there is none."""
    kind = type(module)
    if kind.__name__.startswith("FSDP"):  # torch has put a class of its own before the layer's
        from torch.distributed.fsdp import FSDPModule  # takes a second

        inner = _compact_of(kind.__mro__[kind.__mro__.index(FSDPModule) + 1])
        return type(f"FSDP{inner.__name__}", (FSDPModule, inner), {}) if inner else None
    return _compact_of(kind)


def _compact_of(kind: type) -> type | None:
    if kind in (*COMPACT.values(), CompactScaledEmbedding):
        return kind
    if issubclass(kind, torch.nn.Embedding) and kind.__name__.endswith("ScaledWordEmbedding"):
        return CompactScaledEmbedding
    return COMPACT.get(kind)


def compact(
    model: Any, kind: torch.dtype, *, experts: bool = False, rounding: bool = False, divided: bool = False
) -> Any:
    """`model` with the weights of `COMPACT` layers in 16 bits, and with all other weights and buffers in float32.

    Weights that are wider become `kind` where that loses nothing, or all of them with `rounding`. `experts`: those that
    are stored as one tensor for all may have bfloat16 too; transformers multiplies them in the type that they have, so
    this is for arithmetic in bfloat16. A weight that a layer of another class shares is wide. `divided`: each process
    holds a part of the weights, which stay as they were loaded: torch's FSDP2 takes one type for those of a block.
    """
    layers = {module: own for module in model.modules() if (own := _compact_class(module))}
    shared = {id(weight) for module in model.modules() if module not in layers for weight in _own(module)}
    small = {id(layer.weight) for layer in layers} - shared
    for layer, own in layers.items():
        if id(layer.weight) in small:
            layer.__class__ = own
    if experts:
        stacks = (weight for module in model.modules() for weight in _own(module) if _is_stack(module, weight))
        small |= {id(weight) for weight in stacks}
    for weight in () if divided else model.parameters():
        if id(weight) not in small:
            weight.data = widened(weight.data)
        elif weight.dtype == torch.float32 and (rounding or torch.equal(weight.data.to(kind).float(), weight.data)):
            weight.data = weight.data.to(kind)
    for buffer in model.buffers():
        buffer.data = widened(buffer.data)
    return model


@contextmanager
def shown_wide(model: Any, saved: Collection[str]) -> Iterator[None]:
    """Show linear layers of 16 bits as if they had float32 weights, all zero, which take no memory.

    peft gives an adapter the type of its layer, and would round what it draws for it. `saved`: ends of the names of
    layers that peft copies, which it has to see as they are.
    """
    hidden: dict[int, tuple[Any, torch.Tensor]] = {}
    copied = {
        id(module.weight)
        for name, module in model.named_modules()
        if saved and name.endswith(tuple(saved)) and hasattr(module, "weight")
    }
    for module in model.modules():
        if isinstance(module, CompactLinear | CompactConv1D) and module.weight.dtype in HALVES:
            hidden.setdefault(id(module.weight), (module.weight, module.weight.data))
    for number, (weight, values) in hidden.items():
        if number not in copied:
            weight.data = torch.zeros((), device=values.device).expand(values.shape)
    try:
        yield
    finally:
        for weight, values in hidden.values():
            weight.data = values


def widened(values: torch.Tensor) -> torch.Tensor:
    """`values` in float32 where they have 16 bits."""
    return values.float() if values.dtype in HALVES else values


def widen_trained(model: Any) -> None:
    """Give the weights of `model` that are trained 32 bits: in 16, most steps are too small to change them."""
    for weight in model.parameters():
        if weight.requires_grad and weight.dtype in HALVES:
            weight.data = widened(weight.data)


def _own(module: Any) -> list[torch.Tensor]:
    return list(module.parameters(recurse=False))


def _is_stack(module: Any, weight: torch.Tensor) -> bool:
    """Whether `weight` holds the matrices of all experts (experts, rows, columns), and no kernel of a convolution."""
    return weight.ndim == 3 and weight.dtype != torch.float16 and not type(module).__module__.startswith("torch.")
