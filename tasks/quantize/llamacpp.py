"""llama.cpp's own quantiser, for the types that the gguf package cannot write (the k-quants).

It comes with the package llama-cpp-python, which is built from its source on installation; an extra, since that takes
minutes: `pip install 'temper[llama]'`.
"""

import ctypes
import json
from functools import cache
from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.models.gguf import write_gguf
from tasks.quantize.schemes import Rows

FILE_TYPES = {
    "q2_k": 10, "q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17,
    "q6_k": 18,
}  # fmt: skip
"""llama_ftype of llama.h by the name of the scheme; s, m and l mix more or fewer tensors of the next larger type."""


def write(kind: str, merged: Path, out: Path, rows: Rows) -> None:
    """Write `merged` into `out` as one GGUF file of the type `kind`."""
    write_k_quant(merged, out / f"model-{kind}.gguf", kind)


def write_k_quant(merged: Path, path: Path, kind: str) -> None:
    """Write the model in `merged` to `path` as `kind`: first as it is stored, beside `path`, then by llama.cpp.

    Matrices whose rows are no multiple of 256 get a type of 32 numbers a block; llama.cpp chooses it.
    """
    import llama_cpp

    stored = json.loads((merged / "config.json").read_text()).get("dtype", "float32")
    whole = path.with_name("whole.gguf")
    write_gguf(merged, whole, {"float16": "f16", "bfloat16": "bf16"}.get(stored, "f32"))
    llama_cpp.llama_log_set(_quiet(), ctypes.c_void_p(0))
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPES[kind]
    parameters.nthread = 1
    code = llama_cpp.llama_model_quantize(str(whole).encode(), str(path).encode(), ctypes.byref(parameters))
    whole.unlink()
    if code:
        raise ModelError(f"gguf-{kind}: llama.cpp could not quantise the model (code {code}); take another scheme.")


@cache
def _quiet() -> Any:
    """A logger that says nothing; kept for ever, since llama.cpp calls it until the process ends."""
    import llama_cpp

    return llama_cpp.llama_log_callback(lambda *_: None)
