"""What llama.cpp does not compute as transformers does, told from config.json alone, before anything is trained.

`tasks.models.gguf.converter` knows which architectures it converts at all. For some of them llama.cpp has constants
where config.json has a choice, and would compute something else without a word. Comparisons of logits showed each.
"""

from collections.abc import Callable, Mapping
from typing import Any

Config = Mapping[str, Any]

WINDOWED = frozenset({
    "AfmoeForCausalLM", "Cohere2ForCausalLM", "Exaone4ForCausalLM", "ExaoneMoEForCausalLM", "Gemma2ForCausalLM",
    "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", "Gemma3nForCausalLM", "Gemma3nForConditionalGeneration",
    "Gemma4ForCausalLM", "Gemma4ForConditionalGeneration", "GptOssForCausalLM", "GraniteSWAForCausalLM",
    "GraniteMoeSWAForCausalLM", "Llama4ForCausalLM", "Llama4ForConditionalGeneration", "MellumForCausalLM",
    "MiMoV2FlashForCausalLM", "Olmo3ForCausalLM", "SmallThinkerForCausalLM", "Step3p5ForCausalLM",
})  # fmt: skip
"""Architectures whose attention over a sliding window llama.cpp computes; any other sees the whole context there."""

SHORT = 1024
"""Tokens. A shorter context than that makes no use of a file."""


def text_config(config: Config) -> dict[str, Any]:
    """The part of config.json that describes the model of text, with its architecture."""
    inner = config.get("text_config") or {}
    names = inner.get("architectures") or config.get("architectures")
    return {**config, **inner, "architectures": names or []}


def window(config: Config) -> int | None:
    """Tokens that attention sees back in some layer, where that is fewer than the context; None where it sees all."""
    size = config.get("sliding_window")
    kinds = config.get("layer_types")
    if not size or config.get("use_sliding_window") is False or (kinds and "sliding_attention" not in kinds):
        return None
    return int(size) if size < (config.get("max_position_embeddings") or size) else None


def context(config: Config) -> int | None:
    """The longest context in which llama.cpp computes what transformers does, where that is shorter than the model's.

    Up to the window, attention over a window is attention over everything.
    """
    text = text_config(config)
    return None if not text["architectures"] or text["architectures"][0] in WINDOWED else window(text)


def difference(config: Config) -> str | None:
    """What llama.cpp would compute in another way, as the end of a sentence; None where it computes the same."""
    text = text_config(config)
    name = next(iter(text["architectures"]), "")
    shorter = context(config)
    if shorter and shorter < SHORT:
        return f"computes {name} without a sliding window, but config.json has one of {shorter} tokens"
    for field, (allowed, default) in FIXED.get(name, {}).items():
        value = default if text.get(field) is None else text[field]
        if value not in allowed:
            return f"computes {name} with {field} = {allowed[0]}, but config.json says {value}"
    rule = RULES.get(name)
    return _activation(name, text) or (rule(text) if rule else None)


def _activation(name: str, config: Config) -> str | None:
    for known, names in ACTIVATIONS.items():
        value = next((config[field] for field in ACTIVATION_FIELDS if isinstance(config.get(field), str)), known)
        if name in names and value != known and not (known == "gelu" and value.startswith("gelu")):
            return f"computes {name} with the activation {known}, but config.json says {value}"
    return None


def _smollm3(config: Config) -> str | None:
    layers = config.get("no_rope_layers") or []
    fixed = [int((number + 1) % 4 != 0) for number in range(len(layers))]
    return None if layers == fixed else "skips rotary positions in every fourth layer, but no_rope_layers names others"


def _cohere(config: Config) -> str | None:
    normed, layers = bool(config.get("use_qk_norm")), config.get("num_hidden_layers", 0)
    return None if normed == (layers >= 64) else "normalises queries and keys only in models of 64 or more layers"


def _exaone4(config: Config) -> str | None:
    windowed, layers = window(config) is not None, config.get("num_hidden_layers", 0)
    return None if windowed == (layers == 64) else "computes a sliding window only in models of 64 layers"


def _olmoe(config: Config) -> str | None:
    heads = config.get("num_attention_heads")
    same = config.get("num_key_value_heads", heads) == heads
    return None if same else "needs as many key-value heads as query heads"


def _nemotron_h(config: Config) -> str | None:
    kinds = set(config.get("layers_block_type") or [])
    return "converts layers either with or without experts, but not both" if {"moe", "mlp"} <= kinds else None


def _deepseek_v2(config: Config) -> str | None:
    grouped = config.get("topk_method") == "group_limited_greedy" and (config.get("n_group") or 1) > 1
    return "chooses among all experts, but config.json allows only those of the best groups" if grouped else None


def _gemma(largest: int) -> Callable[[Config], str | None]:
    """The rule of a family whose model of `largest` layers scales attention in its own way."""

    def rule(config: Config) -> str | None:
        width, scale = config.get("head_dim"), config.get("query_pre_attn_scalar")
        if config.get("num_hidden_layers") == largest:
            width = config["hidden_size"] // config["num_attention_heads"]
        return (
            None
            if None in (width, scale) or scale == width
            else f"scales attention by {width}, but config.json says {scale}"
        )

    return rule


ACTIVATION_FIELDS = ("hidden_activation", "hidden_act", "activation_function", "activation")

ACTIVATIONS = {
    "silu": {
        "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
        "Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM", "Phi3ForCausalLM", "Olmo2ForCausalLM", "Olmo3ForCausalLM",
        "OlmoeForCausalLM", "GraniteForCausalLM", "GraniteMoeForCausalLM", "CohereForCausalLM", "Cohere2ForCausalLM",
        "SmolLM3ForCausalLM", "GlmForCausalLM", "Glm4ForCausalLM", "Exaone4ForCausalLM", "SeedOssForCausalLM",
        "Ernie4_5ForCausalLM", "StableLmForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM",
    },
    "gelu": {
        "GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration",
        "Gemma4ForCausalLM", "Gemma4ForConditionalGeneration", "GPT2LMHeadModel", "GPTBigCodeForCausalLM",
        "PhiForCausalLM", "GPTNeoXForCausalLM", "Starcoder2ForCausalLM", "FalconForCausalLM",
    },
    "relu2": {"NemotronForCausalLM", "ArceeForCausalLM"},
}  # fmt: skip
"""The activation that llama.cpp has built into an architecture; gelu in any of its forms."""

UNBIASED: dict[str, tuple[tuple[Any, ...], Any]] = {"attention_bias": ((False,), False)}

FIXED: dict[str, dict[str, tuple[tuple[Any, ...], Any]]] = {
    "Qwen3ForCausalLM": UNBIASED,
    "Qwen3MoeForCausalLM": {**UNBIASED, "norm_topk_prob": ((True,), False)},
    "Qwen2MoeForCausalLM": {"norm_topk_prob": ((False,), False)},
    "Olmo2ForCausalLM": UNBIASED,
    "Olmo3ForCausalLM": UNBIASED,
    "PhiForCausalLM": {"qk_layernorm": ((False,), False)},
    "StableLmForCausalLM": {"qk_layernorm": ((False,), False)},
    "FalconForCausalLM": {"alibi": ((False,), False), "parallel_attn": ((True,), True), "bias": ((False,), False)},
    "GPT2LMHeadModel": {
        "scale_attn_by_inverse_layer_idx": ((False,), False), "scale_attn_weights": ((True,), True),
    },
    "Gemma3nForCausalLM": {"altup_num_inputs": ((4,), 4)},
    "Gemma3nForConditionalGeneration": {"altup_num_inputs": ((4,), 4)},
}  # fmt: skip
"""By architecture and field: values that llama.cpp computes, and what a config.json without the field means."""

RULES: dict[str, Callable[[Config], str | None]] = {
    "SmolLM3ForCausalLM": _smollm3,
    "CohereForCausalLM": _cohere,
    "Exaone4ForCausalLM": _exaone4,
    "OlmoeForCausalLM": _olmoe,
    "NemotronHForCausalLM": _nemotron_h,
    "DeepseekV2ForCausalLM": _deepseek_v2,
    "Gemma2ForCausalLM": _gemma(46),
    "Gemma3ForCausalLM": _gemma(62),
    "Gemma3ForConditionalGeneration": _gemma(62),
}
"""By architecture: says what differs."""
