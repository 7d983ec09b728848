"""How much of a base a method reaches: what an adapter leaves alone, and what stays whole in a quantised base.

Shares are of the numbers in matrices: weights of two dimensions or more, those of the embeddings and the head apart.
Libraries reach the layers that they know and say nothing of the rest: the experts of a mixture, fused in one parameter
of three dimensions, may be nine tenths of a model that "is trained" or "has 4 bits".
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.models.private_peft import parameter_wrappers, wrappers
from tasks.training.tuning_settings import Tuning

NAMED = 4
"""Groups of matrices that a line names."""


@dataclass(frozen=True)
class Matrix:
    """A weight of the base."""

    name: str
    """In the base; numbers of layers as `*`."""
    numbers: int
    tuned: bool
    low_bits: bool
    """Whether it is held in 4 or 8 bits."""


def coverage(model: Any) -> dict[str, Any]:
    """What `training.json` says of it: for an adapter `tuned_share` and `left_out`, the groups of matrices that it
    leaves alone with their shares; for a quantised base `low_bits_share`.

        coverage(tuned)  # {"tuned_share": 0.31, "left_out": ["model.layers.*.mlp.experts.gate_up_proj 46.0%", ...]}
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    matrices = list(_matrices(base, "", False, _outer(base)))
    total = sum(matrix.numbers for matrix in matrices) or 1
    facts: dict[str, Any] = {}
    if any(isinstance(module, wrappers()) for module in model.modules()):
        left: defaultdict[str, int] = defaultdict(int)
        for matrix in matrices:
            if not matrix.tuned:
                left[matrix.name] += matrix.numbers
        facts["tuned_share"] = round(1 - sum(left.values()) / total, 4)
        groups = sorted(left.items(), key=lambda group: (-group[1], group[0]))
        facts["left_out"] = [f"{name} {numbers / total:.1%}" for name, numbers in groups]
    if low := sum(matrix.numbers for matrix in matrices if matrix.low_bits):
        facts["low_bits_share"] = round(low / total, 4)
    return facts


def report(what: str, facts: dict[str, Any]) -> None:
    """Say in the log what an adapter leaves alone, and how much of the base is in low bits."""
    if facts.get("left_out"):
        names = facts["left_out"]
        more = f", and {len(names) - NAMED} others" if len(names) > NAMED else ""
        print(
            f"{what}: the adapter covers {facts['tuned_share']:.0%} of the weights in matrices, not counting "
            f"embeddings and head; it does not cover {', '.join(names[:NAMED])}{more}",
            flush=True,
        )
    if "low_bits_share" in facts:
        print(f"{what}: {facts['low_bits_share']:.0%} of the weights in matrices are held in low bits", flush=True)


def low_bits_share(model: Any) -> float:
    """The share that bitsandbytes holds in low bits, or would hold of a skeleton without weights (torch's meta device).

    As `transformers.integrations.bitsandbytes` chooses: linear layers proper, not subclasses, and GPT-2's.
    """
    matrices = list(_matrices(model, "", False, _outer(model)))
    total = sum(matrix.numbers for matrix in matrices)
    return sum(matrix.numbers for matrix in matrices if matrix.low_bits) / total if total else 1.0


def check_low_bits(what: str, settings: Tuning, model: Any) -> None:
    """Raise `SettingsError` where quantising the base would leave, or has left, most of it whole.

    `model`: the base, quantised, or its skeleton without weights.
    """
    if not settings.quantized:
        return
    share, matrices = low_bits_share(model), list(_matrices(model, "", False, _outer(model)))
    if share >= settings.min_low_bits:
        return
    whole = max((matrix for matrix in matrices if not matrix.low_bits), key=lambda matrix: matrix.numbers)
    key = "method qlora" if settings.quantization is None else f"quantization {settings.quantization}"
    raise SettingsError(
        f"{PATHS.params}: {what}.{key} would hold only {share:.0%} of the base's weights in low bits, less than "
        f"{what}.min_low_bits = {settings.min_low_bits:g} requires: bitsandbytes quantises linear layers only, not "
        f"others such as {whole.name}. Set {what}.method to lora and {what}.quantization to null, or lower the limit "
        "if the memory is enough."
    )


def _outer(model: Any) -> set[int]:
    """Ids of the modules with the embeddings and the head."""
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    return {id(layer) for layer in layers if layer is not None}


def _matrices(module: Any, path: str, tuned: bool, outer: set[int]) -> Iterator[Matrix]:
    """Matrices of the base at `path` and below, as if no adapter stood around them."""
    if id(module) in outer or isinstance(module, torch.nn.Embedding):
        return
    leaves = {inner.parameter_name for inner in parameter_wrappers(module)}
    if isinstance(module, wrappers()):
        wrapper: Any = module
        module = wrapper.get_base_layer() if hasattr(wrapper, "get_base_layer") else wrapper.original_module
        if not leaves:
            yield from _matrices(module, path, True, outer)
            return
    for leaf, weight in module._parameters.items():
        if weight is None:
            continue
        shape = _shape(module, leaf, weight)
        if len(shape) > 1:
            name = re.sub(r"\.\d+(?=\.)", ".*", f"{path}.{leaf}".removesuffix(".weight").lstrip("."))
            low = leaf == "weight" and _in_low_bits(module, weight)
            yield Matrix(name, prod(shape), tuned or leaf in leaves or weight.requires_grad, low)
    for name, child in module.named_children():
        yield from _matrices(child, f"{path}.{name}".lstrip("."), tuned, outer)


def _shape(module: Any, leaf: str, weight: Any) -> tuple[int, ...]:
    """Of a weight before it was packed."""
    if leaf == "weight" and not weight.is_floating_point():
        return (module.out_features, module.in_features)
    return tuple(weight.shape)


def _in_low_bits(module: Any, weight: Any) -> bool:
    """Whether a weight is in low bits, or would be, where the model has no weights yet."""
    return quantizable(module) if weight.device.type == "meta" else not weight.is_floating_point()


def quantizable(module: Any) -> bool:
    """Whether transformers lets bitsandbytes pack the weight of a layer: no subclass of `Linear`, such as Falcon's."""
    from transformers.pytorch_utils import Conv1D

    return type(module) is torch.nn.Linear or isinstance(module, Conv1D)
