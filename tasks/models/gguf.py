"""A GGUF file of a Llama, Mistral or Qwen: metadata, tensors and the tokenizer (llama.cpp's format, version 3).

Weights are read and written one tensor at a time. Matrices whose rows are no multiple of 32 stay float16, vectors
float32; below 8 bits the embeddings and the output head have 8 bits. For a Llama queries and keys are reordered:
llama.cpp rotates neighbouring numbers of a head where transformers rotates halves of it.
"""

import json
import math
from collections.abc import Iterator
from contextlib import closing
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from tasks.chat.stops import stop_ids
from tasks.core.errors import ModelError
from tasks.models import gguf_rope
from tasks.models.gguf_vocabulary import add_tokenizer

Kind = gguf.GGMLQuantizationType
BLOCK = 32
"""Numbers that share a scale in all types that are written here."""

TYPES = {"f32": Kind.F32, "f16": Kind.F16, "bf16": Kind.BF16, "q8_0": Kind.Q8_0, "q5_1": Kind.Q5_1, "q5_0": Kind.Q5_0,
         "q4_1": Kind.Q4_1, "q4_0": Kind.Q4_0}  # fmt: skip
"""Types of matrices that the gguf package can write, by the name of the scheme."""

ARCHITECTURES = {
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "MistralForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
}
"""transformers' name, and llama.cpp's."""


def write_gguf(merged: Path, path: Path, kind: str) -> None:
    """Write the model in the folder `merged` to `path`, its matrices as `kind` (a key of `TYPES`).

    Raises `ModelError` for what the format here cannot say.
    """
    from transformers import AutoTokenizer

    config = json.loads((merged / "config.json").read_text())
    architecture = check_architecture(config)
    with closing(gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])) as writer:
        _add_shape(writer, config, kind)
        tokenizer = AutoTokenizer.from_pretrained(merged, trust_remote_code=False)
        add_tokenizer(writer, tokenizer, config["vocab_size"], stop_ids(merged, tokenizer))
        names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
        factors = _factors(config)
        if factors is not None:
            writer.add_tensor_info(gguf_rope.FREQUENCIES, factors.shape, factors.dtype, factors.nbytes)
        for name, shape, _ in _tensors(merged):
            chosen = _kind(name, shape, TYPES[kind])
            size = prod(gguf.quant_shape_to_byte_shape(shape, chosen))
            writer.add_tensor_info(_renamed(names, name), shape, np.dtype(np.float32), size, raw_dtype=chosen)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors)
        for name, shape, read in _tensors(merged):
            weights = read()
            if architecture == gguf.MODEL_ARCH.LLAMA:
                weights = _reordered(name, weights, config)
            writer.write_tensor_data(_converted(name, weights, _kind(name, shape, TYPES[kind])))


def check_architecture(config: dict[str, Any]) -> Any:
    """The architecture's name in llama.cpp; raises `ModelError` for what is not supported."""
    architecture = (config.get("architectures") or ["unknown"])[0]
    if architecture not in ARCHITECTURES:
        raise _refused(f"the architecture {architecture} is not supported, only {', '.join(ARCHITECTURES)} are")
    rope = config.get("rope_parameters") or {}
    if why := gguf_rope.unsupported(rope):
        raise _refused(why)
    if config.get("hidden_act", "silu") != "silu":
        raise _refused(f"the activation '{config['hidden_act']}' is not supported, only silu is")
    if config.get("use_sliding_window") or (config.get("sliding_window") and architecture == "MistralForCausalLM"):
        raise _refused(f"attention over a sliding window of {config['sliding_window']} tokens is not supported")
    return ARCHITECTURES[architecture]


def _refused(why: str) -> ModelError:
    return ModelError(f"gguf: {why}; take the gguf schemes out of quantize.schemes.")


def _add_shape(writer: Any, config: dict[str, Any], kind: str) -> None:
    """What llama.cpp needs to know to build the network; counts and widths in numbers."""
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    rope = config.get("rope_parameters") or {}
    writer.add_name("model")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if kind == "f32" else gguf.LlamaFileType[f"MOSTLY_{kind.upper()}"])
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
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    gguf_rope.add_scaling(writer, rope)


def _factors(config: dict[str, Any]) -> npt.NDArray[np.float32] | None:
    """By how much each frequency of the rotation is slowed down, as Llama 3.1 does it: (head / 2); None elsewhere."""
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type") != "llama3":
        return None
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = 1.0 / rope["rope_theta"] ** (np.arange(0, head, 2, dtype=np.float64) / head)
    lengths = 2 * math.pi / frequencies
    old, low, high, factor = (
        rope[name] for name in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "factor")
    )
    smooth = np.clip((old / lengths - low) / (high - low), 0, 1)
    factors: npt.NDArray[np.float32] = (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
    return factors


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    """Name, shape and a function that reads it as float32, for each tensor in the order of file and name."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):

                def read(name: str = name, tensors: Any = tensors) -> Any:
                    return tensors.get_tensor(name).float().numpy()

                yield name, tuple(tensors.get_slice(name).get_shape()), read


def _kind(name: str, shape: tuple[int, ...], wanted: Any) -> Any:
    if len(shape) == 1:
        return Kind.F32
    if wanted in (Kind.F32, Kind.F16, Kind.BF16):
        return wanted
    if shape[-1] % BLOCK:
        return Kind.F16
    outer = name.startswith("lm_head.") or ".embed_tokens." in name
    return Kind.Q8_0 if outer else wanted


def _converted(name: str, weights: npt.NDArray[np.float32], kind: Any) -> Any:
    if kind == Kind.F16 and np.abs(weights).max(initial=0) > np.finfo(np.float16).max:
        raise _refused(f"{name} holds numbers beyond the range of float16 (65,504)")
    return gguf.quants.quantize(weights, kind)


def _renamed(names: Any, name: str) -> str:
    new_name: str | None = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if new_name is None:
        raise _refused(f"the tensor {name} has no place in a GGUF file of this architecture")
    return new_name


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
