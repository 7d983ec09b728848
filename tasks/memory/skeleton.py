"""The base with what shall be tuned on it, without numbers: made from its configuration alone."""

import copy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tasks.memory.private_torch import fake_tensors
from tasks.memory.tensors import Parts, divide
from tasks.models.classes import auto_class
from tasks.models.compact import HALVES, compact
from tasks.training.adapters import attach
from tasks.training.coverage import quantizable
from tasks.training.dtypes import holding, keeps_halves
from tasks.training.estimate import QUANTIZED_BITS
from tasks.training.methods import METHODS
from tasks.training.tuning_settings import Tuning


@dataclass(frozen=True)
class Skeleton:
    """A model of fake tensors, and what its weights take."""

    model: Any
    mode: Any
    """The context in which its tensors were made; work with it there."""
    bfloat16: bool
    """Whether it computes in bfloat16, and not in float32."""
    weights: int
    """Bytes of all weights as they are held while it is trained."""
    trained: int
    """Weights that are trained."""
    gradients: int
    """Bytes of their gradients, each of the type of its weight."""
    remainders: int
    """Bytes of what rounding them left over; see `train.weights`."""
    largest: int
    """The most numbers in a trained tensor."""
    unpacked: int
    """Bytes of the largest quantised layer as it is unpacked to compute with it; 0 where none is quantised."""
    parts: Parts
    """Its tensors, as cards divide them among each other."""


def build(
    what: str, config: Any, tuning: Tuning, *, bfloat16: bool, checkpointed: bool, scores: bool = False
) -> Skeleton:
    """The model with transformers' configuration `config`, tuned by `tuning` as the section `what` says.

    `checkpointed`: activations are computed again in the backward pass. `scores`: with the head of a reward model.
    Raises `SettingsError` where the method does not fit the model.
    """
    half, quantized = half_type(config, tuning), tuning.quantized
    with torch.device("meta"), TemporaryDirectory(prefix="temper-") as scratch:
        model = _empty(config, half or torch.float32, scores)
        layers = _quantized_layers(model) if quantized else {}
        if half is not None:
            compact(model, half, experts=bfloat16)
        for layer, kind in layers.items():  # bitsandbytes' own, which unpack one after the other to what is computed in
            layer.__class__ = kind
            layer.weight.data = layer.weight.data.to(torch.bfloat16 if bfloat16 else torch.float32)
        model = attach(
            what, plain(tuning), model, None, Path(scratch), False, task="SEQ_CLS" if scores else "CAUSAL_LM"
        )
    for layer in layers:
        layer.register_forward_hook(_in_type_of_input)
    mode = fake_tensors()
    with mode:
        _fill(model)
    if checkpointed:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    of_layers = [layer.weight for layer in layers]
    inside = {id(weight) for weight in of_layers}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    rest = sum(weight.numel() * weight.element_size() for weight in model.parameters() if id(weight) not in inside)
    bits = QUANTIZED_BITS[quantized] if quantized else 0.0
    packed = sum(weight.numel() for weight in of_layers) * bits / 8
    rounded = sum(weight.numel() for weight in trained if weight.dtype in HALVES)
    return Skeleton(
        model=model,
        mode=mode,
        bfloat16=bfloat16,
        weights=rest + round(packed),
        trained=sum(weight.numel() for weight in trained),
        gradients=sum(weight.numel() * weight.element_size() for weight in trained),
        remainders=round(holding("BF16", tuning, trained=True).remainder * rounded),
        largest=max((weight.numel() for weight in trained), default=0),
        unpacked=max((weight.numel() * weight.element_size() for weight in of_layers), default=0),
        parts=divide(model, dict.fromkeys(inside, bits)),
    )


def _in_type_of_input(_layer: Any, inputs: Any, output: Any) -> Any:
    """As bitsandbytes' layers answer: float32 to float32, whatever they compute in (`Linear4bit.forward`)."""
    return output.to(inputs[0].dtype)


def _fill(model: Any) -> None:
    """Put fake tensors on the CPU, for which autocast works, in the place of those on the meta device."""
    fakes: dict[int, Any] = {}
    for module in model.modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if id(tensor) not in fakes:
                empty: Any = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
                weight = isinstance(tensor, torch.nn.Parameter)
                fakes[id(tensor)] = torch.nn.Parameter(empty, requires_grad=tensor.requires_grad) if weight else empty
            setattr(module, name, fakes[id(tensor)])


def half_type(config: Any, tuning: Tuning) -> Any:
    """The type of 16 bits in which layers are held that `tuning` leaves as they are stored, or rounds; None: float32.

    As `tasks.models.tuning` loads the base, whose type in its files is taken to be that of the configuration.
    """
    if METHODS[tuning.method].kind is None and tuning.weights != "float32":
        return torch.bfloat16
    stored = config.dtype or getattr(config.get_text_config(), "dtype", None)
    if isinstance(stored, str):
        stored = getattr(torch, stored)
    return stored if stored in HALVES and keeps_halves(tuning) else None


def in_halves(config: Any, tuning: Tuning) -> tuple[Any, Tuning]:
    """Both, so that matrices are held in bfloat16: as they are gathered where it is what is computed in."""
    if METHODS[tuning.method].kind is None:
        return config, tuning.model_copy(update={"weights": "bfloat16_stochastic"})
    changed = copy.deepcopy(config)
    changed.dtype = torch.bfloat16
    return changed, tuning


def plain(tuning: Tuning) -> Tuning:
    """`tuning` without what looks at numbers before training; it takes the same memory afterwards."""
    method = METHODS[tuning.method]
    looks = method.lora and method.preset.get("init_lora_weights")
    return tuning.model_copy(update={"method": "lora"}) if looks else tuning


def _empty(config: Any, held: Any, scores: bool) -> Any:
    from transformers import AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification if scores else auto_class(config)
    return kind.from_config(config, dtype=held, trust_remote_code=False)


def _quantized_layers(model: Any) -> dict[Any, type]:
    """The layers that bitsandbytes packs, and their classes: all that it can but the head."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return {layer: type(layer) for layer in model.modules() if quantizable(layer) and layer is not head}
