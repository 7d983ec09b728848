"""What stages use of peft that its documentation does not list: when an upgrade moves a name, mend it here.

Nothing of peft is imported before a function is called.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


def wrappers() -> tuple[type, ...]:
    """Classes of modules that stand in the place of a layer: adapters, and what peft saves whole."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    return BaseTunerLayer, AuxiliaryTrainingWrapper


@contextmanager
def without_card(model: Any) -> Iterator[None]:
    """Have `model` write no model card beside what it saves, which takes longer than a small adapter itself."""
    model.create_or_update_model_card = lambda _folder: None
    try:
        yield
    finally:
        del model.create_or_update_model_card


def adapter_keys(model: Any) -> set[str]:
    """Names under which the adapter on `model` is saved; embeddings only where it trains them."""
    from peft.utils import get_peft_model_state_dict

    return set(get_peft_model_state_dict(model, save_embedding_layers=False))


def lora_linear() -> Any:
    """The class of a linear layer with plain LoRA on it."""
    from peft.tuners.lora.layer import Linear

    return Linear


def scale_between(model: Any) -> None:
    """Have LoRA on linear layers of `model` scale what its A gives, a few numbers a token, instead of what B gives.

    peft goes over all that a layer gives to scale it, forward and backward. A product with a power of two is exact, so
    by such a scale every number stays what it was; layers with another one, or a bias on B, are left to peft.
    """
    for layer in model.modules():
        if type(layer) is lora_linear() and all(math.frexp(scale)[0] == 0.5 for scale in layer.scaling.values()):
            if any(part.bias is not None for part in layer.lora_B.values()):
                continue
            layer.__class__ = _scaling_between()


@cache
def _scaling_between() -> Any:
    """`lora_linear` with a forward pass as `scale_between` says, where nothing but plain LoRA goes on."""
    import torch

    class ScalingBetween(lora_linear()):  # type: ignore[misc]
        """Its state, its files and its merging are peft's."""

        def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
            plain = not (args or kwargs or self.disable_adapters or self.merged or self.lora_variant)
            adapters = [name for name in self.active_adapters if name in self.lora_A]
            if not plain or len(adapters) != 1:
                return super().forward(x, *args, **kwargs)
            (name,) = adapters
            result, first, dropout = self.base_layer(x), self.lora_A[name], self.lora_dropout[name]
            # autocast gives A its own type: an x of that type, widened here, would be copied there and back
            if not (torch.is_autocast_enabled(x.device.type) and isinstance(dropout, torch.nn.Identity)):
                x = x.to(first.weight.dtype)
            inner = first(dropout(x))
            return (result + self.lora_B[name](inner * self.scaling[name])).to(result.dtype)

    return ScalingBetween


def parameter_wrappers(module: Any) -> Iterator[Any]:
    """What stands at `module` in the place of a layer of which parameters are tuned and not the layer, one in the
    other; nothing where an adapter, or none, is on the layer itself."""
    from peft.tuners.lora.layer import ParamWrapper

    while isinstance(module, ParamWrapper):
        yield module
        module = module.base_layer


def adding(method: str) -> Any:
    """peft's function `method` of changes (tensors of one shape), their weights and options: what all add up to."""
    from peft.utils import merge_utils

    return getattr(merge_utils, method)


def lies_in_layers(model: Any) -> bool:
    """Whether the adapters of `model` work in its layers, and put nothing before a row."""
    from peft.tuners.tuners_utils import BaseTuner

    return isinstance(model.base_model, BaseTuner)
