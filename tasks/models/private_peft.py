"""What stages use of peft that its documentation does not list: when an upgrade moves a name, mend it here.

Nothing of peft is imported before a function is called.
"""

from collections.abc import Iterator
from typing import Any


def wrappers() -> tuple[type, ...]:
    """Classes of modules that stand in the place of a layer: adapters, and what peft saves whole."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    return BaseTunerLayer, AuxiliaryTrainingWrapper


def adapter_keys(model: Any) -> set[str]:
    """Names under which the adapter on `model` is saved; embeddings only where it trains them."""
    from peft.utils import get_peft_model_state_dict

    return set(get_peft_model_state_dict(model, save_embedding_layers=False))


def lora_linear() -> Any:
    """The class of a linear layer with plain LoRA on it."""
    from peft.tuners.lora.layer import Linear

    return Linear


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
