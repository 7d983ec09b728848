"""A GGUF file of a Llama: metadata, tensors as q8_0, and the tokenizer (llama.cpp's format, version 3).

Weights are read and written one tensor at a time. Matrices whose rows are no multiple of 32 stay float16, vectors
float32. Queries and keys are reordered: llama.cpp rotates neighbouring numbers of a head where transformers rotates
halves of it.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from tasks.contract.errors import ModelError
from tasks.quantize.vocabulary import add_tokenizer

Q8_0, F16, F32 = (getattr(gguf.GGMLQuantizationType, name) for name in ("Q8_0", "F16", "F32"))
BLOCK = 32
"""Numbers that share a scale in q8_0."""


def write_gguf(merged: Path, path: Path) -> None:
    """Write the Llama in the folder `merged` to `path`. Raises `ModelError` for what the format here cannot say."""
    from transformers import AutoTokenizer

    config = json.loads((merged / "config.json").read_text())
    _check(config)
    with closing(gguf.GGUFWriter(path, "llama")) as writer:
        _add_shape(writer, config)
        add_tokenizer(writer, AutoTokenizer.from_pretrained(merged, trust_remote_code=False), config["vocab_size"])
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
        for name, shape, _ in _tensors(merged):
            size = prod(gguf.quant_shape_to_byte_shape(shape, _kind(shape)))
            writer.add_tensor_info(_renamed(names, name), shape, np.dtype(np.float32), size, raw_dtype=_kind(shape))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, shape, read in _tensors(merged):
            writer.write_tensor_data(gguf.quants.quantize(_reordered(name, read(), config), _kind(shape)))


def _check(config: dict[str, Any]) -> None:
    architecture = (config.get("architectures") or ["unknown"])[0]
    if architecture != "LlamaForCausalLM":
        raise ModelError(
            f"gguf-q8_0: the architecture {architecture} is not supported, only LlamaForCausalLM is; "
            "take gguf-q8_0 out of quantize.schemes."
        )
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise ModelError(
            f"gguf-q8_0: the rope scaling '{rope['rope_type']}' is not supported, only the default is; "
            "take gguf-q8_0 out of quantize.schemes."
        )
    if config.get("hidden_act", "silu") != "silu":
        raise ModelError(
            f"gguf-q8_0: the activation '{config['hidden_act']}' is not supported, only silu is; "
            "take gguf-q8_0 out of quantize.schemes."
        )


def _add_shape(writer: Any, config: dict[str, Any]) -> None:
    """What llama.cpp needs to know to build the network; counts and widths in numbers."""
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_name("model")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float((config.get("rope_parameters") or {}).get("rope_theta", 10000.0)))


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    """Name, shape and a function that reads it as float32, for each tensor in the order of file and name."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):

                def read(name: str = name, tensors: Any = tensors) -> Any:
                    return tensors.get_tensor(name).float().numpy()

                yield name, tuple(tensors.get_slice(name).get_shape()), read


def _kind(shape: tuple[int, ...]) -> Any:
    if len(shape) == 1:
        return F32
    return Q8_0 if shape[-1] % BLOCK == 0 else F16


def _renamed(names: Any, name: str) -> str:
    found: str | None = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if found is None:
        raise ModelError(
            f"gguf-q8_0: the tensor {name} has no place in a Llama GGUF file; take gguf-q8_0 out of quantize.schemes."
        )
    return found


def _reordered(name: str, weights: npt.NDArray[np.float32], config: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Rows of queries and keys (heads x 2 halves x numbers) as (heads x numbers x 2); all else unchanged."""
    heads = {
        "q_proj": config["num_attention_heads"],
        "k_proj": config["num_key_value_heads"],
    }.get(name.split(".")[-2])
    if heads is None:
        return weights
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weights.shape))
