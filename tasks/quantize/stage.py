"""Quantise the merged model by one scheme, load it back, and measure what it lost.

    python -m tasks quantize SCHEME

In: data/merged, data/templated (rows to compare and to calibrate on). Out: data/quantized/SCHEME (the model in a form
that loads alone, `quantization.json`, `settings.json`). Schemes:

    nf4, fp4   4 bits by bitsandbytes, scales quantised too (Dettmers et al. 2023, arXiv:2305.14314)
    int8       LLM.int8() by bitsandbytes (Dettmers et al. 2022, arXiv:2208.07339)
    gguf-*     one GGUF file for llama.cpp, Ollama and the like, by llama.cpp's own converter: f32, f16, bf16 whole;
               q8_0, q5_1, q5_0, q4_1, q4_0 in blocks of 32; the k-quants q6_k, q5_k_m, q5_k_s, q4_k_m, q4_k_s, q3_k_l,
               q3_k_m, q3_k_s, q2_k; below 8 bits with an importance matrix where `imatrix` says so
    torchao-*  int8, float8: weights only (extra `torchao`)
    gptq-*     w4a16, w8a8 by llm-compressor, calibrated on training rows (extra `compress`); fp8: without calibration

bitsandbytes, torchao and llm-compressor leave embeddings and head as they are; in GGUF they have 8
bits at least, in k-quants what llama.cpp gives them.
docs/support.md says what was tried and does not work.
"""

from typing import Any

from tasks.core.declaration import ITEM, Entry, Resources, Size, Stage, tracked
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS, Paths
from tasks.quantize.schemes import SCHEMES
from tasks.quantize.settings import Settings
from tasks.training import estimate
from tasks.training.estimate import Base

__all__ = ["STAGE", "Settings", "run", "validate"]


def validate(settings: Settings, paths: Paths) -> None:
    """Raise `MachineError` where a scheme needs a package that is not installed."""
    for name in settings.schemes:
        SCHEMES[name].check(name)


def run(settings: Settings, paths: Paths, scheme: str = "") -> None:
    """Quantise by `scheme`, reload, compare, save; see the module's docstring."""
    if scheme not in SCHEMES:
        raise SettingsError(f"quantize: unknown scheme '{scheme}'; known: {', '.join(SCHEMES)}.")
    SCHEMES[scheme].check(scheme)
    from tasks.quantize.run import quantize

    quantize(settings, paths, scheme)


def size(params: Any, base: Base) -> Size:
    """What all schemes take together."""
    schemes = (SCHEMES[name] for name in params.quantize.schemes)
    return Size(sum(estimate.quantized(base, params.merge.dtype, one.bits, one.rest) for one in schemes))


STAGE = Stage(
    name="quantize",
    about="Smaller copies of the model.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(
        Entry(
            foreach="quantize.schemes",
            item=ITEM,
            inputs=(
                PATHS.merged,
                PATHS.templated / "judged",
                PATHS.templated / "preferences",
                PATHS.tokens("train"),
                PATHS.tokens("validation"),
            ),
            outputs=(PATHS.quantized(ITEM),),
            params=tracked("quantize", Settings, but=("schemes",)),
        ),
    ),
    item="SCHEME",
    resources=Resources(gpu=True),
    size=size,
)
