"""Every scheme by its name: what writes it, and which package it needs beyond those that temper always has."""

from dataclasses import dataclass
from importlib.util import find_spec

from tasks.contract.errors import MachineError


@dataclass(frozen=True)
class Scheme:
    """One way to make a model smaller."""

    family: str
    """What writes it: bits (bitsandbytes), gguf, llamacpp, torchao, compressed (llm-compressor)."""
    kind: str
    """Its name there."""

    @property
    def needs(self) -> str | None:
        """The extra of temper that brings its package; None where no extra is needed."""
        return {"llamacpp": "llama", "torchao": "torchao", "compressed": "compress"}.get(self.family)

    def check(self, name: str) -> None:
        """Raise `MachineError` where the package that it needs is not installed."""
        package = {"llamacpp": "llama_cpp", "torchao": "torchao", "compressed": "llmcompressor"}.get(self.family)
        if package and find_spec(package) is None:
            raise MachineError(
                f"{name}: it needs the package {package}, which is not installed; install it with "
                f"`pip install 'temper[{self.needs}]'`, or take {name} out of quantize.schemes."
            )


SCHEMES = {
    **{name: Scheme("bits", name) for name in ("nf4", "fp4", "int8")},
    **{f"gguf-{kind}": Scheme("gguf", kind) for kind in ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")},
    **{
        f"gguf-{kind}": Scheme("llamacpp", kind)
        for kind in ("q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k")
    },
    "torchao-int8": Scheme("torchao", "int8"),
    "torchao-float8": Scheme("torchao", "float8"),
    "gptq-w4a16": Scheme("compressed", "W4A16"),
    "gptq-w8a8": Scheme("compressed", "W8A8"),
    "fp8": Scheme("compressed", "FP8_DYNAMIC"),
}
"""Schemes in the order in which they are told."""
