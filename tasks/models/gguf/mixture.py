"""Which type each tensor gets in a mixture such as Q4_K_M: the rules of llama.cpp's quantiser.

After `llama_tensor_get_type_impl` and its neighbours in src/llama-quant.cpp of the llama.cpp that the converter is
from, for the types that need no importance matrix. xllamacpp brings that quantiser's arithmetic, not its rules.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

WHOLE = re.compile(
    r"_norm\.weight$|ffn_gate_inp\.weight|altup|laurel|per_layer_model_proj|^position_embd\.weight$|^token_types\.weight$"
    r"|ssm_conv1d|shortconv\.conv\.weight|indexer\.[kq]_proj\.weight|attn_rel_b\.weight"
    r"|time_mix_(first|w[012]|v[012]|a[012]|g[12]|decay_w[12]|lerp_fused)\.weight"
)
"""Matrices that stay whole: small, or too important."""

FALLBACK = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""Types of blocks of 256 numbers, and what a matrix gets whose rows are no multiple of that."""

BLOCK, SUPER = 32, 256
"""Numbers of a block in the types of 32, and in those with a K."""


@dataclass(frozen=True)
class Shape:
    """What the rules ask of the model."""

    architecture: str
    """llama.cpp's name."""
    layers: int
    experts: int
    queries_per_key: float
    """Query heads to a key head; 1 where each has its own."""


@dataclass(frozen=True)
class Mixture:
    """A file type: the type of most matrices, and where others are taken."""

    file_type: int
    """llama_ftype of llama.h."""
    base: str
    attention_v: str = ""
    """For values of attention, in all layers; "": as `base`."""
    output: str = ""
    """For the projection out of attention."""
    down: str = ""
    """For the projection out of the feed-forward network."""
    fused: str = ""
    """For queries, keys and values in one matrix."""
    early_v: tuple[int, str] | None = None
    """Values of attention in the first so many layers."""
    early_down: tuple[int, str] | None = None
    """The feed-forward network's in the first of so many parts of the layers."""
    more: bool = False
    """Whether values and the feed-forward network get Q6_K in the first, the last and every third layer."""
    outer: str = "Q6_K"
    """For the head, and for embeddings that are the head as well."""
    embeddings: str = ""


MIXTURES = {
    "q4_0": Mixture(2, "Q4_0", outer="Q8_0", embeddings="Q8_0"),
    "q4_1": Mixture(3, "Q4_1", outer="Q8_0", embeddings="Q8_0"),
    "q5_0": Mixture(8, "Q5_0", outer="Q8_0", embeddings="Q8_0"),
    "q5_1": Mixture(9, "Q5_1", outer="Q8_0", embeddings="Q8_0"),
    "q2_k": Mixture(10, "Q2_K", attention_v="Q3_K", output="Q3_K", down="Q3_K"),
    "q3_k_s": Mixture(11, "Q3_K"),
    "q3_k_m": Mixture(12, "Q3_K", "Q4_K", "Q4_K", "Q4_K", "Q4_K", early_v=(2, "Q5_K"), early_down=(16, "Q5_K")),
    "q3_k_l": Mixture(13, "Q3_K", "Q5_K", "Q5_K", "Q5_K", "Q4_K"),
    "q4_k_s": Mixture(14, "Q4_K", early_v=(4, "Q5_K"), early_down=(8, "Q5_K")),
    "q4_k_m": Mixture(15, "Q4_K", fused="Q5_K", more=True),
    "q5_k_s": Mixture(16, "Q5_K"),
    "q5_k_m": Mixture(17, "Q5_K", fused="Q6_K", more=True),
    "q6_k": Mixture(18, "Q6_K"),
}
"""By the name of the scheme. Where llama.cpp gives embeddings the type of the other matrices, those of 32 numbers a
block keep 8 bits here: nothing is lost there that the size would be worth."""


def types(names: Iterable[tuple[str, tuple[int, ...]]], mixture: Mixture, model: Shape) -> dict[str, str]:
    """The type of each tensor by its name; `names` with shapes (rows first), as the GGUF file has them.

    A tensor that is not there stays as it is.
    """
    shapes = {name: shape for name, shape in names if _is_matrix(name, shape)}
    values = sorted((name for name in shapes if _is_values(name)), key=_layer)
    tied = not any(name == "output.weight" for name in shapes)
    return {
        name: _fitting(_chosen(name, mixture, model, tied, values, shape[-1]), shape[-1])
        for name, shape in shapes.items()
    }


def _is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    return len([size for size in shape if size > 1]) > 1 and name.endswith("weight") and not WHOLE.search(name)


def _is_values(name: str) -> bool:
    return any(part in name for part in ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"))


def _layer(name: str) -> int:
    number = re.match(r"blk\.(\d+)\.", name)
    return int(number[1]) if number else 0


def _more(layer: int, layers: int) -> bool:
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _chosen(name: str, mixture: Mixture, model: Shape, tied: bool, values: list[str], width: int) -> str:
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return "Q8_0" if model.architecture == "falcon" or width % SUPER else mixture.outer
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return mixture.embeddings or mixture.base
    rules: dict[str, Callable[[], str]] = {
        "attn_qkv.weight": lambda: mixture.fused,
        "attn_v.weight": lambda: _values(mixture, model, values.index(name), len(values)),
        "attn_kv_b.weight": lambda: _values(mixture, model, values.index(name), len(values)),
        "attn_k.weight": lambda: "Q8_0" if model.experts == 8 and mixture.base.endswith("_K") else "",
        "attn_output.weight": lambda: _output(mixture, model),
        "ffn_down": lambda: _down(mixture, model, _layer(name)),
    }
    rule = next((rule for part, rule in rules.items() if part in name), lambda: "")
    return rule() or mixture.base


def _values(mixture: Mixture, model: Shape, number: int, count: int) -> str:
    chosen = mixture.attention_v or mixture.base
    if mixture.file_type == MIXTURES["q2_k"].file_type and model.queries_per_key >= 4:
        chosen = "Q4_K"
    if mixture.early_v and number < mixture.early_v[0]:
        chosen = mixture.early_v[1]
    if mixture.more and _more(number, count):
        chosen = "Q6_K"
    if model.experts == 8 and mixture.base.endswith("_K"):
        chosen = "Q8_0"
    return chosen


def _output(mixture: Mixture, model: Shape) -> str:
    if model.architecture == "falcon":
        return "Q4_K" if mixture is MIXTURES["q3_k_l"] else ""
    if model.experts == 8:
        return "Q5_K" if mixture.base in ("Q2_K", "Q3_K", "Q4_K") and mixture is not MIXTURES["q3_k_l"] else ""
    return mixture.output


def _down(mixture: Mixture, model: Shape, layer: int) -> str:
    falcon, more = model.architecture == "falcon", _more(layer, model.layers)
    if mixture.early_down and layer < model.layers // mixture.early_down[0]:
        return "" if falcon and mixture is MIXTURES["q4_k_s"] else mixture.early_down[1]
    if falcon and mixture in (MIXTURES["q3_k_m"], MIXTURES["q3_k_l"]):
        return "Q4_K" if mixture is MIXTURES["q3_k_l"] or more else "Q3_K"
    if falcon and mixture is MIXTURES["q4_k_m"]:
        return "Q6_K" if layer < model.layers // 16 else "Q5_K" if more else "Q4_K"
    return "Q6_K" if mixture.more and more else mixture.down


def _fitting(kind: str, width: int) -> str:
    """The type, or the next one that divides rows of `width` numbers."""
    if kind in FALLBACK and width % SUPER:
        kind = FALLBACK[kind]
    return "F16" if width % BLOCK else kind
