"""Sizes of a Llama: config.json as params.json (Meta, torchtune) or model_config.yaml (litgpt), and back.

Only what these files can say goes through: no biases, heads as wide as hidden_size / heads, rotation as it is or scaled
as Llama 3.1 scales it.
"""

from typing import Any

Config = dict[str, Any]

SCALED = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""What `use_scaled_rope` of params.json stands for, in Meta's code."""

ADJUSTED = {
    "factor": "factor", "low_freq_factor": "low_freq_factor", "high_freq_factor": "high_freq_factor",
    "original_max_position_embeddings": "original_max_seq_len",
}  # fmt: skip
"""transformers' words for scaling the rotation, and litgpt's."""

LITGPTS: Config = {
    "mlp_class_name": "LLaMAMLP", "norm_class_name": "RMSNorm", "parallel_residual": False, "bias": False,
    "rotary_percentage": 1.0,
}  # fmt: skip
"""What litgpt's configuration has to say for its model to compute as a Llama does; its defaults are another model's."""

PLAIN: Config = {
    **LITGPTS, "attn_bias": False, "norm_qk": False, "post_attention_norm": False, "post_mlp_norm": False,
    "shared_attention_norm": False, "norm_1": True, "norm_2": True, "scale_embeddings": False, "lm_head_bias": False,
    "sliding_window_size": None, "attention_scores_scalar": None, "attention_logit_softcapping": None,
    "final_logit_softcapping": None, "rope_condense_ratio": 1, "rope_interleave": False, "rope_local_base_freq": None,
    "latent_attention": None,
}  # fmt: skip
"""The same, and what has to be left at its default."""


def unsupported(config: Config, form: str) -> str | None:
    """What of config.json `form` cannot say; None where it says all."""
    if (config.get("architectures") or [""])[0] != "LlamaForCausalLM":
        return f"the model is a {(config.get('architectures') or ['model without a name'])[0]}, not a Llama"
    if config.get("attention_bias") or config.get("mlp_bias"):
        return "the model has biases"
    heads = config["num_attention_heads"]
    if (config.get("head_dim") or config["hidden_size"] // heads) * heads != config["hidden_size"]:
        return "its heads are not hidden_size / num_attention_heads wide"
    rope = config.get("rope_parameters") or {}
    kind = rope.get("rope_type", "default")
    scaled = {name: rope.get(name) for name in SCALED}
    if kind not in ("default", "llama3") or (kind == "llama3" and form != "litgpt" and scaled != SCALED):
        return f"its rotary scaling ({kind}) cannot be expressed there"
    return None


def params(config: Config) -> Config:
    """params.json with the keys that Meta's code takes; it computes the feed-forward width from two of them."""
    rope, width, inner = config.get("rope_parameters") or {}, config["hidden_size"], config["intermediate_size"]
    return {
        "dim": width, "n_layers": config["num_hidden_layers"], "n_heads": config["num_attention_heads"],
        "n_kv_heads": config["num_key_value_heads"], "vocab_size": config["vocab_size"],
        "multiple_of": inner, "ffn_dim_multiplier": inner / int(8 * width / 3),
        "norm_eps": config["rms_norm_eps"], "rope_theta": rope.get("rope_theta", 10000.0),
        "use_scaled_rope": rope.get("rope_type") == "llama3",
    }  # fmt: skip


def from_params(sizes: Config, vocabulary: int, inner: int) -> Config:
    """config.json's sizes from params.json; rows of embeddings and the feed-forward width are seen in the tensors.

    Raises `KeyError` for a key that is missing. Meta's file does not say the longest sequence: as Llama 2's, or as
    Llama 3.1's where the rotation is scaled.
    """
    heads, scaled = sizes["n_heads"], bool(sizes.get("use_scaled_rope"))
    rope: Config = {"rope_type": "default", "rope_theta": float(sizes.get("rope_theta", 10000.0))}
    if scaled:
        rope |= {"rope_type": "llama3", **SCALED}
    return {
        "hidden_size": sizes["dim"], "num_hidden_layers": sizes["n_layers"], "num_attention_heads": heads,
        "num_key_value_heads": sizes.get("n_kv_heads") or heads, "vocab_size": vocabulary, "intermediate_size": inner,
        "rms_norm_eps": sizes["norm_eps"], "rope_parameters": rope,
        "max_position_embeddings": 131072 if scaled else 4096,
    }  # fmt: skip


def model_config(config: Config) -> Config:
    """model_config.yaml of litgpt."""
    rope, width = config.get("rope_parameters") or {}, config["hidden_size"]
    adjusted = {theirs: rope[ours] for ours, theirs in ADJUSTED.items()} if rope.get("rope_type") == "llama3" else None
    return {
        **LITGPTS,
        "name": "", "hf_config": {}, "block_size": config["max_position_embeddings"], "n_embd": width,
        "n_layer": config["num_hidden_layers"], "n_head": config["num_attention_heads"],
        "head_size": width // config["num_attention_heads"], "n_query_groups": config["num_key_value_heads"],
        "vocab_size": config["vocab_size"], "padded_vocab_size": config["vocab_size"],
        "intermediate_size": config["intermediate_size"], "norm_eps": config["rms_norm_eps"],
        "rope_base": int(rope.get("rope_theta", 10000)), "rope_adjustments": adjusted,
    }  # fmt: skip


def from_model_config(sizes: Config, vocabulary: int, inner: int) -> Config:
    """config.json's sizes from litgpt's. Raises `KeyError` for a missing key, `ValueError` for another model."""
    if other := sorted(key for key, value in PLAIN.items() if sizes.get(key, value) != value):
        raise ValueError(f"{other[0]} is {sizes[other[0]]!r}, which is not possible for a Llama")
    heads, width = sizes["n_head"], sizes["n_embd"]
    rope: Config = {"rope_type": "default"}
    if (sizes.get("head_size") or width // heads) * heads != width:
        raise ValueError(f"head_size is {sizes['head_size']}, not n_embd / n_head")
    if adjusted := sizes.get("rope_adjustments"):
        rope = {"rope_type": "llama3", **{ours: adjusted[theirs] for ours, theirs in ADJUSTED.items()}}
    return {
        "hidden_size": width, "num_hidden_layers": sizes["n_layer"], "num_attention_heads": heads,
        "num_key_value_heads": sizes.get("n_query_groups") or heads, "vocab_size": vocabulary,
        "intermediate_size": inner, "rms_norm_eps": sizes["norm_eps"],
        "rope_parameters": {**rope, "rope_theta": float(sizes.get("rope_base", 10000))},
        "max_position_embeddings": sizes["block_size"],
    }  # fmt: skip
