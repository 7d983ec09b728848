"""Quantise the merged model by one scheme, load it back, and measure what it lost.

    python -m tasks quantize SCHEME

In: data/merged, data/templated (rows to compare on). Out: data/quantized/SCHEME (the model in a form that loads alone,
`quantization.json`, `settings.json`). Schemes:

    nf4        4-bit NormalFloat by bitsandbytes, scales quantised too (Dettmers et al. 2023, arXiv:2305.14314)
    int8       LLM.int8() by bitsandbytes (Dettmers et al. 2022, arXiv:2208.07339)
    gguf-q8_0  one GGUF file for llama.cpp, Ollama and the like; 8-bit blocks of 32 with a scale each

bitsandbytes leaves embeddings and output head as they are; q8_0 quantises them as well.
"""

from typing import Annotated

from pydantic import Field, field_validator

from tasks.contract.errors import SettingsError
from tasks.contract.paths import Paths
from tasks.contract.settings import Settings as Section

SCHEMES = ("nf4", "int8", "gguf-q8_0")


class Settings(Section):
    """The section `quantize`."""

    schemes: list[str] = Field(default_factory=lambda: list(SCHEMES))
    """Which quantised models are made and evaluated: any of nf4, int8, gguf-q8_0, each once; [] for none."""
    probes: Annotated[int, Field(ge=1)] = 16
    """Rows of the validation split (of the training split where there is none) on which the models are compared."""
    max_divergence: Annotated[float, Field(gt=0)] = 1.0
    """Largest mean Kullback-Leibler divergence from the merged model, in nats a token, before the stage fails."""

    @field_validator("schemes")
    @classmethod
    def _known(cls, schemes: list[str]) -> list[str]:
        if unknown := [scheme for scheme in schemes if scheme not in SCHEMES]:
            raise ValueError(f"unknown scheme {', '.join(unknown)}; known: {', '.join(SCHEMES)}")
        if twice := sorted({scheme for scheme in schemes if schemes.count(scheme) > 1}):
            raise ValueError(f"{', '.join(twice)} stands more than once")
        return schemes


def run(settings: Settings, paths: Paths, scheme: str = "") -> None:
    """Quantise by `scheme`, reload, compare, save; see the module's docstring."""
    if scheme not in SCHEMES:
        raise SettingsError(f"quantize: unknown scheme '{scheme}'; known: {', '.join(SCHEMES)}.")
    from tasks.quantize.quantize import quantize

    quantize(settings, paths, scheme)
