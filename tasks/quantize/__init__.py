"""Quantise the merged model by one scheme, load it back, and measure what it lost.

    python -m tasks quantize SCHEME

In: data/merged, data/templated (rows to compare and to calibrate on). Out: data/quantized/SCHEME (the model in a form
that loads alone, `quantization.json`, `settings.json`). Schemes:

    nf4, fp4   4 bits by bitsandbytes, scales quantised too (Dettmers et al. 2023, arXiv:2305.14314)
    int8       LLM.int8() by bitsandbytes (Dettmers et al. 2022, arXiv:2208.07339)
    gguf-*     one GGUF file for llama.cpp, Ollama and the like: f32, f16, bf16 whole; q8_0, q5_1, q5_0, q4_1, q4_0 in
               blocks of 32; the k-quants q6_k, q5_k_m, q5_k_s, q4_k_m, q4_k_s, q3_k_l, q3_k_m, q3_k_s, q2_k by
               llama.cpp's own quantiser (extra `llama`)
    torchao-*  int8, float8: weights only (extra `torchao`)
    gptq-*     w4a16, w8a8 by llm-compressor, calibrated on training rows (extra `compress`); fp8: without calibration

bitsandbytes, torchao and llm-compressor leave embeddings and head as they are; in GGUF they have 8
bits at least, in k-quants what llama.cpp gives them.
docs/support.md says what was tried and does not work.
"""

from typing import Annotated

from pydantic import Field, field_validator

from tasks.contract.errors import SettingsError
from tasks.contract.paths import Paths
from tasks.contract.settings import Settings as Section
from tasks.quantize.schemes import SCHEMES

Share = Annotated[float, Field(ge=0, le=1)]


class Settings(Section):
    """The section `quantize`."""

    schemes: list[str] = Field(default_factory=lambda: ["nf4", "int8", "gguf-q8_0"])
    """Which quantised models are made and evaluated, each once; [] for none. tasks/quantize lists them."""
    probes: Annotated[int, Field(ge=1)] = 16
    """Rows of the validation split (of the training split where there is none) on which the models are compared."""
    calibration: Annotated[int, Field(ge=1)] = 128
    """Rows of the training split on which gptq is calibrated, the first ones."""
    max_divergence: Annotated[float, Field(gt=0)] = 1.0
    """Largest mean Kullback-Leibler divergence from the merged model, in nats a token, before the stage fails; for
    schemes that `limits` does not name."""
    limits: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """The same by scheme, in nats a token."""
    min_same_tokens: Share = 0.0
    """Smallest share of positions whose most likely next token is that of the merged model."""
    min_same_stops: Share = 0.9
    """Smallest share of positions at which both would stop, or neither would."""

    @field_validator("schemes")
    @classmethod
    def _known(cls, schemes: list[str]) -> list[str]:
        if unknown := [scheme for scheme in schemes if scheme not in SCHEMES]:
            raise ValueError(f"unknown scheme {', '.join(unknown)}; known: {', '.join(SCHEMES)}")
        if twice := sorted({scheme for scheme in schemes if schemes.count(scheme) > 1}):
            raise ValueError(f"{', '.join(twice)} stands more than once")
        return schemes

    @field_validator("limits")
    @classmethod
    def _of_schemes(cls, limits: dict[str, float]) -> dict[str, float]:
        if unknown := [scheme for scheme in limits if scheme not in SCHEMES]:
            raise ValueError(f"unknown scheme {', '.join(unknown)}; known: {', '.join(SCHEMES)}")
        return limits


def run(settings: Settings, paths: Paths, scheme: str = "") -> None:
    """Quantise by `scheme`, reload, compare, save; see the module's docstring."""
    if scheme not in SCHEMES:
        raise SettingsError(f"quantize: unknown scheme '{scheme}'; known: {', '.join(SCHEMES)}.")
    SCHEMES[scheme].check(scheme)
    from tasks.quantize.quantize import quantize

    quantize(settings, paths, scheme)
