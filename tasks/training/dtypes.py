"""In what each weight is held while a model is trained, and how many bytes that takes. No library is loaded.

    held = holding("BF16", settings, trained=False)
    held.weight  # 2 bytes of memory for a number in a matrix of the base under an adapter

Arithmetic is another question: `dtype` decides it, and what is held in 16 bits gives the results of float32 weights
with the same values (`tasks.models.compact`).
"""

from dataclasses import dataclass
from typing import Any

from tasks.training.methods import METHODS
from tasks.training.tuning_settings import Tuning

HALVES = {"BF16": "bfloat16", "F16": "float16"}
"""torch's name of a type of 16 bits by the name that safetensors has for it."""

STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Ways to start an adapter that do not look at the weights of its layer; peft calls the field init_weights or so."""

READING = ("target_parameters", "trainable_token_indices")
"""Fields of peft's configuration with which an adapter stands in the place of weights, not beside a layer."""


@dataclass(frozen=True)
class Holding:
    """How a weight that multiplies (of a linear layer or of the embeddings) is held; bytes for each of its numbers."""

    dtype: str
    """torch's name of its type."""
    weight: float
    gradient: float
    """0 where it is not trained."""
    remainder: float
    """What rounding left over, kept beside it by bfloat16_kahan."""


def keeps_halves(tuning: Tuning) -> bool:
    """Whether weights of 16 bits that `tuning` does not train stay as they are stored.

    Not where the method reads them itself, such as DoRA and PiSSA: it would compute in 16 bits.
    """
    method = METHODS[tuning.method]
    fields = {**method.preset, **tuning.peft}
    reads = any(_reads_weights(name, value) for name, value in fields.items())
    return tuning.method == "freeze" or (method.beside and not reads)


def _reads_weights(name: str, value: Any) -> bool:
    """Whether this field of peft's configuration has an adapter read the weights of its layers."""
    if name.startswith("init_"):
        return value not in STARTS
    return bool(value) and (name in READING or (name.startswith("use_") and name != "use_rslora"))


def holding(stored: str, tuning: Tuning, *, trained: bool) -> Holding:
    """How a matrix is held whose type in the base's files is `stored` (safetensors' name, such as BF16).

    Biases, norms and all that is no matrix are held in float32. So is what is trained, adapters included, unless
    `tuning.weights` says otherwise; its gradient has its type. For layers that `tuning` quantises see
    `estimate.QUANTIZED_BITS`.
    """
    if trained:
        if tuning.weights == "float32" or METHODS[tuning.method].kind:
            return Holding("float32", 4.0, 4.0, 0.0)
        return Holding("bfloat16", 2.0, 2.0, 2.0 if tuning.weights == "bfloat16_kahan" else 0.0)
    dtype = HALVES.get(stored, "float32") if keeps_halves(tuning) else "float32"
    return Holding(dtype, 4.0 if dtype == "float32" else 2.0, 0.0, 0.0)
