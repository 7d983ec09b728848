"""Names of a Llama's tensors in each form, and the order of their rows.

Two things differ besides names. Meta and torchtune rotate neighbouring numbers of a head, transformers and litgpt its
two halves, so rows of queries and keys are reordered. litgpt keeps queries, keys and values in one tensor.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch

COLUMNS = ("meta", "torchtune", "litgpt")

LAYER = "model.layers.{}."

NAMES = {
    "model.embed_tokens": ("tok_embeddings", "tok_embeddings", "transformer.wte"),
    "model.layers.{}.input_layernorm":
        ("layers.{}.attention_norm", "layers.{}.sa_norm", "transformer.h.{}.norm_1"),
    "model.layers.{}.self_attn.q_proj":
        ("layers.{}.attention.wq", "layers.{}.attn.q_proj", "transformer.h.{}.attn.qkv"),
    "model.layers.{}.self_attn.k_proj":
        ("layers.{}.attention.wk", "layers.{}.attn.k_proj", "transformer.h.{}.attn.qkv"),
    "model.layers.{}.self_attn.v_proj":
        ("layers.{}.attention.wv", "layers.{}.attn.v_proj", "transformer.h.{}.attn.qkv"),
    "model.layers.{}.self_attn.o_proj":
        ("layers.{}.attention.wo", "layers.{}.attn.output_proj", "transformer.h.{}.attn.proj"),
    "model.layers.{}.post_attention_layernorm":
        ("layers.{}.ffn_norm", "layers.{}.mlp_norm", "transformer.h.{}.norm_2"),
    "model.layers.{}.mlp.gate_proj": ("layers.{}.feed_forward.w1", "layers.{}.mlp.w1", "transformer.h.{}.mlp.fc_1"),
    "model.layers.{}.mlp.up_proj": ("layers.{}.feed_forward.w3", "layers.{}.mlp.w3", "transformer.h.{}.mlp.fc_2"),
    "model.layers.{}.mlp.down_proj": ("layers.{}.feed_forward.w2", "layers.{}.mlp.w2", "transformer.h.{}.mlp.proj"),
    "model.norm": ("norm", "norm", "transformer.ln_f"),
    "lm_head": ("output", "output", "lm_head"),
}  # fmt: skip
"""transformers' names, and those of `COLUMNS`; a tensor of several of ours holds their rows one after the other."""

NORMS = ("norm", "sa_norm", "mlp_norm")
"""Whose tensor torchtune calls scale, and not weight."""

IGNORED = ("rope.freqs",)
"""Tensors of Meta's that are computed, and not learned."""

Config = dict[str, Any]
"""The sizes, as config.json of transformers has them."""


def names(config: Config) -> list[str]:
    """Every tensor of the model, the head included, by transformers' names."""
    layer = [name for name in NAMES if name.startswith(LAYER)]
    embeddings, *last = (name for name in NAMES if name not in layer)
    inner = (name.format(number) for number in range(config["num_hidden_layers"]) for name in layer)
    return [f"{name}.weight" for name in (embeddings, *inner, *last)]


def foreign(name: str, form: str) -> str:
    """The name in `form` of the tensor that transformers calls `name`."""
    number = re.search(r"\.(\d+)\.", name)
    plain = NAMES[re.sub(r"\.\d+\.", ".{}.", name).removesuffix(".weight")][COLUMNS.index(form)]
    leaf = "scale" if form == "torchtune" and plain.split(".")[-1] in NORMS else "weight"
    return f"{plain.format(number[1] if number else '')}.{leaf}"


def groups(form: str, config: Config) -> dict[str, list[str]]:
    """By name in `form`: which tensors of transformers lie in it, one below the other."""
    grouped: dict[str, list[str]] = {}
    for name in names(config):
        grouped.setdefault(foreign(name, form), []).append(name)
    return grouped


def shape(name: str, config: Config) -> tuple[int, ...]:
    """What config.json says of a tensor."""
    width: int = config["hidden_size"]
    inner: int = config["intermediate_size"]
    head = width // config["num_attention_heads"]
    keys = head * config["num_key_value_heads"]
    if "norm" in name:
        return (width,)
    if name in ("model.embed_tokens.weight", "lm_head.weight"):
        return config["vocab_size"], width
    kind = name.split(".")[-2]
    if kind == "down_proj":
        return width, inner
    heights = {"gate_proj": inner, "up_proj": inner, "k_proj": keys, "v_proj": keys}
    return heights.get(kind, width), width


def outward(form: str, config: Config, read: Callable[[str], torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and tensor of everything in `form`; `read` gives a tensor by its name in transformers."""
    for theirs, ours in groups(form, config).items():
        parts = [_turned(form, name, read(name), config, back=False) for name in ours]
        yield theirs, torch.cat(parts) if len(parts) > 1 else parts[0]


def inward(form: str, config: Config, name: str, ours: list[str], whole: Callable[[], torch.Tensor]) -> torch.Tensor:
    """The tensor `name` of transformers out of the `whole` one that holds `ours` in `form`."""
    start = sum(shape(other, config)[0] for other in ours[: ours.index(name)])
    return _turned(form, name, whole()[start : start + shape(name, config)[0]], config, back=True)


def _turned(form: str, name: str, value: torch.Tensor, config: Config, *, back: bool) -> torch.Tensor:
    """Rows (heads, 2 halves, numbers) of queries and keys as (heads, numbers, 2); `back`: the other way round."""
    kind = name.split(".")[-2]
    if form == "litgpt" or kind not in ("q_proj", "k_proj"):
        return value.contiguous()
    heads = config["num_attention_heads" if kind == "q_proj" else "num_key_value_heads"]
    rows, columns = value.shape
    half = rows // heads // 2
    parts = value.reshape(heads, half, 2, columns) if back else value.reshape(heads, 2, half, columns)
    return parts.transpose(1, 2).reshape(rows, columns).contiguous()
