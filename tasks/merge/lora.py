"""Plain LoRA on a linear layer: the arithmetic of peft's `Linear.merge`, in memory that is used again.

Shapes: W (out, in) as stored, B (out, r), A (r, in).

With the scaling s, what is written is W + (B A) s, in float32. peft makes a new tensor for each step, and most of the
time goes into new memory. Here B A, one product of the whole matrices as in peft, goes into space that a thread keeps;
the rest is done in pieces that stay in the processor's cache. Adding and multiplying number by number does not depend
on the pieces, so the bytes are peft's.
"""

from dataclasses import dataclass
from math import isfinite
from threading import local
from typing import Any

import torch

from tasks.core.errors import CheckFailed
from tasks.merge.layers import OffloadedModel
from tasks.models.private_peft import lora_linear
from tasks.models.shards import StoredTensor

PIECE = 2**17
"""Numbers of a piece: half a megabyte in float32."""

EXACT = (torch.float32, torch.bfloat16, torch.float16)
"""Types of which float32 holds every number."""

_own = local()


@dataclass(frozen=True)
class PlainLora:
    """A weight and its LoRA."""

    path: str
    stored: StoredTensor
    a: torch.Tensor
    b: torch.Tensor
    scaling: float

    @torch.no_grad()
    def merged(self, dtype: torch.dtype) -> torch.Tensor:
        """The weight as `dtype` after merging. Raises `CheckFailed` where it is not finite."""
        stored = self.stored.read()
        written = stored if stored.dtype == dtype else torch.empty(stored.shape, dtype=dtype)
        source, target = stored.view(-1), written.view(-1)
        delta = _space(len(source))
        torch.mm(self.b, self.a, out=delta.view(stored.shape))
        total = 0.0
        for start in range(0, len(source), PIECE):
            part = slice(start, start + PIECE)
            value = delta[part].mul_(self.scaling).add_(source[part])
            total += value.sum().item()
            target[part] = value
        if not isfinite(total):
            raise CheckFailed(
                f"{self.path}: merging gives NaN or infinite values, so the base or the adapter is damaged there; "
                "restore both, or train again."
            )
        return written


def plain_lora(offloaded: OffloadedModel, path: str) -> PlainLora | None:
    """The LoRA on the weight at `path`; None where it is anything else, or more than that."""
    module_path, _, leaf = path.rpartition(".")
    module: Any = offloaded.model.get_submodule(module_path)
    if type(module) is not lora_linear() or leaf != "weight" or len(module.active_adapters) != 1:
        return None
    name, weight = module.active_adapters[0], module.get_base_layer().weight
    if name not in module.lora_A or name in module.lora_variant or module.lora_bias[name] or module.fan_in_fan_out:
        return None
    a, b = module.lora_A[name].weight, module.lora_B[name].weight
    own = offloaded.names.get(id(weight))
    stored_weight = offloaded.stored(own) if own else None
    if stored_weight is None or offloaded.source.alters(str(own)) or not a.dtype == b.dtype == torch.float32:
        return None
    if stored_weight.shape != (len(b), a.shape[1]) or stored_weight.dtype not in EXACT:
        return None
    return PlainLora(path, stored_weight, a.detach(), b.detach(), float(module.scaling[name]))


def _space(count: int) -> torch.Tensor:
    """Room for `count` numbers, kept by this thread until more are asked for."""
    if getattr(_own, "space", None) is None or len(_own.space) < count:
        _own.space = None  # first let go, then take more
        _own.space = torch.empty(count)
    room: torch.Tensor = _own.space[:count]
    return room
