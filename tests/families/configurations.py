"""Configurations of tiny models, one a family: two layers, 64 wide, every peculiarity of the family kept.

Sizes are as small as the family's code takes them; sliding windows are shorter than the rows, factors differ from 1,
layers alternate as in the real models, so that a stage that forgets one of these computes something else.
"""

from dataclasses import dataclass, field
from typing import Any

LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
SLIDING: dict[str, Any] = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
ROUTED = {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
LATENT = {
    "num_key_value_heads": 4, **ROUTED, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "kv_lora_rank": 16,
    "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16,
}  # fmt: skip
GRANITE = {
    "embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22, "attention_multiplier": 0.0625,
    "tie_word_embeddings": True,
}  # fmt: skip
MAMBA = {"mamba_d_head": 16, "mamba_d_state": 16, "mamba_chunk_size": 32}
PER_LAYER = {"hidden_size_per_layer_input": 16}
VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 14,
}  # fmt: skip


def rope(share: float) -> dict[str, Any]:
    """Rotary positions on `share` of a head."""
    return {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": share}


@dataclass(frozen=True)
class Family:
    """How a tiny model of a family is configured."""

    model_type: str
    """Its name in transformers."""
    own: dict[str, Any] = field(default_factory=dict)
    """Fields of its configuration that differ from `COMMON`."""
    bare: bool = False
    """Whether it has fields of its own only, not those in `COMMON`."""
    padded: bool = False
    """Whether it has more rows of embeddings than the tokenizer has tokens."""
    vision: dict[str, Any] | None = None
    """The configuration of its vision tower; None for a model of text."""
    around: dict[str, Any] = field(default_factory=dict)
    """Fields of the configuration around text and vision."""

    def text(self) -> dict[str, Any]:
        """Fields of the text model's configuration, without the size of its vocabulary."""
        fields = self.own if self.bare else {**COMMON, **self.own}
        return {name: value for name, value in fields.items() if value is not None or name == "sliding_window"}


COMMON: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
DROPLESS = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512, **DROPLESS}
FALCON = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "bias": False, "alibi": False,
    "max_position_embeddings": 512,
}  # fmt: skip
GEMMA = {"head_dim": 32, **SLIDING, "query_pre_attn_scalar": 32}
GEMMA4 = {"head_dim": 32, **SLIDING, **PER_LAYER, "final_logit_softcapping": 30.0}
QWEN35 = {"head_dim": 32, **LINEAR, "tie_word_embeddings": True}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}  # fmt: skip

DENSE: dict[str, Family] = {
    "llama": Family("llama", {"tie_word_embeddings": True, "rope_parameters": LLAMA3}),
    "mistral": Family("mistral", {"sliding_window": None, "head_dim": 16}),
    "mistral_swa": Family("mistral", {"sliding_window": 16, "head_dim": 16}),
    "ministral": Family("ministral", {**SLIDING, "head_dim": 16}),
    "qwen2": Family("qwen2", {"tie_word_embeddings": True}, padded=True),
    "qwen3": Family("qwen3", {"head_dim": 32, "tie_word_embeddings": True}, padded=True),
    "qwen3_untied": Family("qwen3", {"head_dim": 128}),
    "gemma": Family("gemma", {"head_dim": 32}),
    "gemma2": Family(
        "gemma2", {**GEMMA, "layer_types": None, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    ),
    "gemma3_text": Family("gemma3_text", GEMMA),
    "gemma3n_text": Family(
        "gemma3n_text",
        {"head_dim": 32, "intermediate_size": [128] * 4, "num_hidden_layers": 4, "sliding_window": 16,
         "layer_types": SLIDING["layer_types"] * 2, **PER_LAYER, "num_kv_shared_layers": 2, "laurel_rank": 8,
         "altup_num_inputs": 2, "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0]},
    ),
    "gemma4_text": Family("gemma4_text", GEMMA4),
    "phi": Family("phi", {"num_key_value_heads": 4, "rope_parameters": rope(0.5)}, padded=True),
    "phi3": Family("phi3", {"num_key_value_heads": 4, "sliding_window": None, "pad_token_id": 0}, padded=True),
    "gpt2": Family("gpt2", GPT2, bare=True),
    "gpt_neo": Family(
        "gpt_neo",
        {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
         "window_size": 16, "max_position_embeddings": 512, "embed_dropout": 0.0, "attention_dropout": 0.0,
         "resid_dropout": 0.0}, bare=True,
    ),
    "gpt_neox": Family(
        "gpt_neox", {"num_key_value_heads": None, "use_parallel_residual": True, "rope_parameters": rope(0.25)},
        padded=True,
    ),
    "gpt_bigcode": Family("gpt_bigcode", GPT2, bare=True),
    "starcoder2": Family("starcoder2", {"use_bias": True, "sliding_window": 16}),
    "falcon": Family("falcon", {**FALCON, "new_decoder_architecture": False, "multi_query": True,
                                "parallel_attn": True}, bare=True),
    "falcon_new": Family("falcon", {**FALCON, "num_kv_heads": 2, "new_decoder_architecture": True}, bare=True),
    "olmo2": Family("olmo2", padded=True),
    "olmo3": Family("olmo3", SLIDING, padded=True),
    "granite": Family("granite", GRANITE),
    "cohere": Family("cohere", {"logit_scale": 0.25, "tie_word_embeddings": True, "use_qk_norm": True}),
    "cohere2": Family("cohere2", {"head_dim": 16, **SLIDING, "logit_scale": 0.25, "tie_word_embeddings": True}),
    "smollm3": Family("smollm3", {"no_rope_layers": [1, 0], "tie_word_embeddings": True}),
    "glm": Family("glm", {"head_dim": 16, "rope_parameters": rope(0.5)}, padded=True),
    "glm4": Family("glm4", {"head_dim": 16, "rope_parameters": rope(0.5)}, padded=True),
    "nemotron": Family("nemotron", {"head_dim": 16, "rope_parameters": rope(0.5)}),
    "stablelm": Family("stablelm", {"rope_parameters": rope(0.25)}),
    "opt": Family(
        "opt",
        {"hidden_size": 64, "ffn_dim": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "dropout": 0.0,
         "max_position_embeddings": 512, "word_embed_proj_dim": 32}, bare=True, padded=True,
    ),
    "bloom": Family("bloom", {"hidden_size": 64, "n_layer": 2, "n_head": 4}, bare=True, padded=True),
    "exaone4": Family("exaone4", {"head_dim": 16, **SLIDING}),
    "seed_oss": Family("seed_oss", {"head_dim": 16, "attention_dropout": 0.0, "residual_dropout": 0.0}),
    "ernie4_5": Family("ernie4_5", {"head_dim": 16, "tie_word_embeddings": True}),
    "helium": Family("helium", {"head_dim": 16}),
    "arcee": Family("arcee", {"head_dim": 16}),
    "apertus": Family("apertus"),
}  # fmt: skip
MIXTURES: dict[str, Family] = {
    "mixtral": Family("mixtral", {**LOCAL_EXPERTS, "sliding_window": None}),
    "qwen2_moe": Family("qwen2_moe", {"shared_expert_intermediate_size": 96, **EXPERTS}, padded=True),
    "qwen3_moe": Family("qwen3_moe", {"head_dim": 32, **EXPERTS}, padded=True),
    "olmoe": Family("olmoe", {"num_experts": 4, "num_experts_per_tok": 2}),
    "phimoe": Family("phimoe", {**LOCAL_EXPERTS, "attention_bias": True, "lm_head_bias": True}, padded=True),
    "gpt_oss": Family("gpt_oss", {"head_dim": 32, **LOCAL_EXPERTS, **SLIDING}, padded=True),
    "granitemoe": Family("granitemoe", {**LOCAL_EXPERTS, **GRANITE}),
    "deepseek_v2": Family("deepseek_v2", {**LATENT, "q_lora_rank": None}),
    "deepseek_v3": Family("deepseek_v3", {**LATENT, "q_lora_rank": 24, "n_group": 2}),
    "glm4_moe": Family(
        "glm4_moe", {"head_dim": 16, **ROUTED, "first_k_dense_replace": 1, "use_qk_norm": True,
                     "rope_parameters": rope(0.5)}, padded=True,
    ),
    "jamba": Family(
        "jamba",
        {"num_experts": 4, "num_experts_per_tok": 2, "expert_layer_period": 2, "expert_layer_offset": 1,
         "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4,
         "use_mamba_kernels": False},
    ),
}  # fmt: skip
HYBRIDS: dict[str, Family] = {
    "qwen3_next": Family(
        "qwen3_next", {"head_dim": 32, **LINEAR, "shared_expert_intermediate_size": 48, **EXPERTS}, padded=True
    ),
    "qwen3_5_text": Family("qwen3_5_text", QWEN35, padded=True),
    "falcon_h1": Family(
        "falcon_h1",
        {"mamba_d_ssm": 64, "mamba_n_heads": 4, **MAMBA, "lm_head_multiplier": 0.5, "embedding_multiplier": 2.0,
         "key_multiplier": 0.5, "attention_out_multiplier": 0.9, "ssm_multipliers": [0.9, 1.1, 0.8, 1.2, 0.7],
         "mlp_multipliers": [0.9, 0.7]},
    ),
    "granitemoehybrid": Family(
        "granitemoehybrid",
        {**LOCAL_EXPERTS, **GRANITE, "shared_intermediate_size": 96, "layer_types": LINEAR["layer_types"],
         "mamba_n_heads": 8, **MAMBA, "mamba_expand": 2},
    ),
    "lfm2": Family("lfm2", {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}),
    "nemotron_h": Family(
        "nemotron_h",
        {**ROUTED, "num_hidden_layers": None, "head_dim": 16, "ssm_state_size": 16, "mamba_num_heads": 8,
         "mamba_head_dim": 16, "n_groups": 1, "chunk_size": 32, "moe_shared_expert_intermediate_size": 48,
         "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"]},
    ),
    "mamba": Family("mamba", {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8}, bare=True),
    "mamba2": Family(
        "mamba2",
        {"hidden_size": 64, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 1,
         "chunk_size": 32, "expand": 2}, bare=True,
    ),
}  # fmt: skip
MULTIMODAL: dict[str, Family] = {
    "gemma3": Family(
        "gemma3", GEMMA, vision={**VISION, "image_size": 28},
        around={"mm_tokens_per_image": 4, "image_token_index": 3, "boi_token_index": 4, "eoi_token_index": 5},
    ),
    "gemma4": Family("gemma4", GEMMA4, vision={**VISION, "num_key_value_heads": 2, "head_dim": 16}),
    "qwen3_5": Family(
        "qwen3_5", QWEN35, around={"tie_word_embeddings": True},
        vision={"hidden_size": 32, "intermediate_size": 64, "depth": 1, "num_heads": 2, "out_hidden_size": 64,
                "patch_size": 14, "num_position_embeddings": 64},
    ),
    "mistral3": Family(
        "mistral3", {"head_dim": 16, "sliding_window": None, "model_type": "mistral"},
        vision={**VISION, "image_size": 28, "head_dim": 16, "model_type": "pixtral"},
        around={"image_token_index": 3},
    ),
}  # fmt: skip
FAMILIES = DENSE | MIXTURES | HYBRIDS | MULTIMODAL

SAMPLE = ("qwen3", "gemma4_text", "phi3", "gpt2", "falcon", "mixtral", "gpt_oss", "lfm2", "qwen3_5")
"""Those that every test run tries: one for each way in which layers are named, joined and stored."""
