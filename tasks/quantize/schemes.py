"""Every scheme by its name, one entry each: what writes it, its size, and the package that it needs.

To add one: an entry here. Where none of the writers makes it, also a module in this folder with
`write(kind, merged, out, calibration)`: it writes the model in the folder `merged` into the folder `out`, in a form
that `tasks.models.loading.load_model` loads; `calibration.rows()` gives token ids of training rows.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tasks.core.errors import MachineError
from tasks.training.estimate import QUANTIZED_BITS


@dataclass(frozen=True)
class Calibration:
    """What a scheme may measure on the model before it rounds."""

    rows: Callable[[], list[list[int]]]
    """Gives token ids of training rows, which are read only where a scheme calibrates on them."""
    importance: bool = False
    """Whether schemes that can do without rows use them too; see `quantize.imatrix`."""


@dataclass(frozen=True)
class Scheme:
    """One way to make a model smaller."""

    writer: str
    """The module of this folder that writes it."""
    kind: str
    """Its name there."""
    bits: float
    """Bits of a weight in a matrix, scales included."""
    rest: float = 0.0
    """Bits of a weight in embeddings and head, at least; 0: they stay as the merged model stores them."""
    package: str = ""
    """What it needs beyond what temper always has; "" for nothing."""
    extra: str = ""
    """The extra of temper that brings the package."""
    weighs: bool = False
    """Whether it can round with regard to the importance of columns."""

    def check(self, name: str) -> None:
        """Raise `MachineError` where the package that it needs is not installed."""
        if self.package and find_spec(self.package) is None:
            raise MachineError(
                f"{name}: it needs the package {self.package}, which is not installed; install it with "
                f"`pip install 'temper[{self.extra}]'`, or remove {name} from quantize.schemes."
            )

    def write(self, merged: Path, out: Path, calibration: Calibration) -> None:
        """Write the model in `merged` into the folder `out`."""
        importlib.import_module(f"tasks.quantize.{self.writer}").write(self.kind, merged, out, calibration)


def _gguf(kind: str, bits: float, rest: float = 8.5) -> Scheme:
    return Scheme("gguf", kind, bits, rest=rest, weighs=bits < 8)


def _k_quant(kind: str, bits: float) -> Scheme:
    return _gguf(kind, bits, rest=6.57)


SCHEMES = {
    "nf4": Scheme("bits", "nf4", QUANTIZED_BITS["nf4"]),
    "fp4": Scheme("bits", "fp4", QUANTIZED_BITS["fp4"]),
    "int8": Scheme("bits", "int8", QUANTIZED_BITS["int8"]),
    "gguf-f32": _gguf("f32", 32.0),
    "gguf-f16": _gguf("f16", 16.0),
    "gguf-bf16": _gguf("bf16", 16.0),
    "gguf-q8_0": _gguf("q8_0", 8.5),
    "gguf-q5_1": _gguf("q5_1", 6.0),
    "gguf-q5_0": _gguf("q5_0", 5.5),
    "gguf-q4_1": _gguf("q4_1", 5.0),
    "gguf-q4_0": _gguf("q4_0", 4.5),
    "gguf-q6_k": _k_quant("q6_k", 6.56),
    "gguf-q5_k_m": _k_quant("q5_k_m", 5.7),
    "gguf-q5_k_s": _k_quant("q5_k_s", 5.5),
    "gguf-q4_k_m": _k_quant("q4_k_m", 4.85),
    "gguf-q4_k_s": _k_quant("q4_k_s", 4.6),
    "gguf-q3_k_l": _k_quant("q3_k_l", 4.3),
    "gguf-q3_k_m": _k_quant("q3_k_m", 3.9),
    "gguf-q3_k_s": _k_quant("q3_k_s", 3.5),
    "gguf-q2_k": _k_quant("q2_k", 3.0),
    "torchao-int8": Scheme("ao", "int8", 8.0, package="torchao", extra="torchao"),
    "torchao-float8": Scheme("ao", "float8", 8.0, package="torchao", extra="torchao"),
    "gptq-w4a16": Scheme("compressed", "W4A16", 4.2, package="llmcompressor", extra="compress"),
    "gptq-w8a8": Scheme("compressed", "W8A8", 8.0, package="llmcompressor", extra="compress"),
    "fp8": Scheme("compressed", "FP8_DYNAMIC", 8.0, package="llmcompressor", extra="compress"),
}
"""Schemes in the order in which they are listed."""
