"""The weights that an adapter was trained on: those of the base as they are stored, or as quantising left them.

A QLoRA adapter was fitted to the base's quantised weights. Merged into the original ones it is another model, and
quantising the merged weights again rounds much of it away; so it is merged into the quantised weights, expanded.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tasks.models.adapter_files import training_record
from tasks.models.classes import from_pretrained
from tasks.models.loading import bits_and_bytes, keep_packing
from tasks.models.shards import StoredTensor, stored_tensors
from tasks.models.writing import Pieces


@dataclass(frozen=True)
class Quantization:
    """How the base was quantised while the adapter was trained."""

    scheme: str
    """nf4, fp4 or int8, all by bitsandbytes."""
    double: bool
    """Whether the scales of nf4 and fp4 were quantised too."""

    def config(self) -> Any:
        """For transformers; computes in float32."""
        return bits_and_bytes(self.scheme, torch.float32, double=self.double)

    def passed_through(self, weight: torch.Tensor) -> torch.Tensor:
        """What is left of a matrix (float32) after quantising it and expanding it again."""
        import bitsandbytes.functional as bnb

        if self.scheme == "int8":
            codes, scales, _ = bnb.int8_vectorwise_quant(weight.half())
            return torch.as_tensor(bnb.int8_vectorwise_dequant(codes, scales)).float()
        packed, state = bnb.quantize_4bit(weight, compress_statistics=self.double, quant_type=self.scheme)
        return torch.as_tensor(bnb.dequantize_4bit(packed, state)).to(weight.dtype).reshape(weight.shape)


@dataclass(frozen=True)
class Source:
    """Weights by name, one at a time."""

    folder: Path
    tensors: dict[str, StoredTensor]
    quantization: Quantization | None = None
    quantized: dict[str, bool] = field(default_factory=dict)
    """Names, in the model, of the weights that were quantised, and whether they were turned over for it."""

    def passed(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """What the weight `name` of the model, `value` in float32 as it is stored, was in training."""
        if self.quantization is None or name not in self.quantized:
            return value
        return _through(self.quantization, value, self.quantized[name])

    def alters(self, name: str) -> bool:
        """Whether the weight was another one in training than it is on disk."""
        return name in self.quantized

    def pieces(self, name: str, stored: StoredTensor, dtype: torch.dtype) -> Pieces | None:
        """What makes the weight `name`, whose tensor here is `stored`, piece by piece as `dtype`; None to read it."""
        return None


def source(folder: Path, quantization: Quantization | None = None, model: Any = None) -> Source:
    """The weights in `folder`; `model` is the quantised one, which knows the names of what was quantised."""
    if quantization is None:
        return Source(folder, stored_tensors(folder))
    return Source(folder, stored_tensors(folder), quantization, _quantized(model))


def pass_through(model: Any, quantization: Quantization, quantized: Any) -> None:
    """Leave in `model`, a base in float32, of each weight what `quantized`, the same base as it was trained, has."""
    with torch.no_grad():
        for name, turned in _quantized(quantized).items():
            weight = model.get_parameter(name)
            weight.copy_(_through(quantization, weight, turned))


def _through(quantization: Quantization, weight: torch.Tensor, turned: bool) -> torch.Tensor:
    if not turned:
        return quantization.passed_through(weight)
    return quantization.passed_through(weight.T.contiguous()).T.contiguous()


def _quantized(model: Any) -> dict[str, bool]:
    """Names of the quantised weights, and whether they stand on disk as GPT-2 has them, the inputs first."""
    import bitsandbytes as bnb
    from transformers.pytorch_utils import Conv1D

    kinds = (bnb.nn.Linear4bit, bnb.nn.Linear8bitLt)
    layers = ((path, module) for path, module in model.named_modules() if isinstance(module, kinds))
    return {f"{path}.weight": getattr(module, "source_cls", None) is Conv1D for path, module in layers}


def quantized_model(folder: Path, quantization: Quantization) -> Any:
    """The base as training had it in memory, by transformers and bitsandbytes."""
    model = from_pretrained(folder, quantization_config=quantization.config(), dtype=torch.float32)
    keep_packing(model)
    return model.eval()


def trained_on(chosen: str, double: bool, trained: Path) -> Quantization | None:
    """How the base was quantised in training: `chosen` (nf4, fp4, int8, stored), or what training.json says (auto)."""
    if chosen == "stored":
        return None
    if chosen != "auto":
        return Quantization(chosen, double)
    recorded = training_record(trained).quantization
    return Quantization(recorded.scheme, recorded.double_quant) if recorded else None
