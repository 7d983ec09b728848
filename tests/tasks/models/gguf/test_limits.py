"""What llama.cpp computes in another way is known from config.json alone."""

from typing import Any

import pytest

from tasks.core.errors import ModelError
from tasks.models.gguf.converter import architectures, check
from tasks.models.gguf.limits import context, difference


def test_the_registry_is_read_without_importing_the_converter() -> None:
    import sys

    known = architectures()
    assert len(known) > 150
    assert {"LlamaForCausalLM", "Gemma3ForConditionalGeneration", "Qwen3_5ForCausalLM", "GptOssForCausalLM"} <= {*known}
    assert "conversion" not in sys.modules


@pytest.mark.parametrize(
    ("architecture", "fields", "shorter"),
    [
        ("MistralForCausalLM", {"sliding_window": 4096, "max_position_embeddings": 32768}, 4096),
        ("MistralForCausalLM", {"sliding_window": None, "max_position_embeddings": 32768}, None),
        ("MistralForCausalLM", {"sliding_window": 4096, "max_position_embeddings": 4096}, None),
        ("Phi3ForCausalLM", {"sliding_window": 2047, "max_position_embeddings": 4096}, 2047),
        ("Phi3ForCausalLM", {"sliding_window": 262144, "max_position_embeddings": 131072}, None),
        (
            "Qwen2ForCausalLM",
            {"sliding_window": 4096, "use_sliding_window": False, "max_position_embeddings": 32768},
            None,
        ),
        ("Gemma3ForCausalLM", {"sliding_window": 512, "max_position_embeddings": 32768}, None),
        (
            "Qwen3ForCausalLM",
            {"sliding_window": 4096, "layer_types": ["full_attention"], "max_position_embeddings": 8192},
            None,
        ),
    ],
)
def test_a_window_that_llama_cpp_does_not_compute(architecture: str, fields: dict[str, Any], shorter: int) -> None:
    config = {"architectures": [architecture], **fields}
    assert context(config) == shorter
    assert difference(config) is None


@pytest.mark.parametrize(
    ("architecture", "works", "fails"),
    [
        ("SmolLM3ForCausalLM", {"no_rope_layers": [1, 1, 1, 0, 1]}, {"no_rope_layers": [1, 0]}),
        ("CohereForCausalLM", {"num_hidden_layers": 40}, {"num_hidden_layers": 40, "use_qk_norm": True}),
        ("CohereForCausalLM", {"num_hidden_layers": 64, "use_qk_norm": True}, {"num_hidden_layers": 64}),
        ("Exaone4ForCausalLM", {"num_hidden_layers": 30}, {"num_hidden_layers": 30, "sliding_window": 4096}),
        ("Gemma3nForCausalLM", {}, {"altup_num_inputs": 2}),
        ("Qwen3MoeForCausalLM", {"norm_topk_prob": True}, {"norm_topk_prob": False}),
        ("OlmoeForCausalLM", {"num_attention_heads": 16}, {"num_attention_heads": 16, "num_key_value_heads": 4}),
        (
            "NemotronHForCausalLM",
            {"layers_block_type": ["linear_attention", "moe"]},
            {"layers_block_type": ["moe", "mlp"]},
        ),
        ("Qwen3ForCausalLM", {"hidden_act": "silu"}, {"hidden_act": "gelu"}),
        ("Qwen3ForCausalLM", {"attention_bias": False}, {"attention_bias": True}),
        ("Qwen2MoeForCausalLM", {}, {"norm_topk_prob": True}),
        ("GemmaForCausalLM", {"hidden_act": "silu", "hidden_activation": "gelu_pytorch_tanh"}, {"hidden_act": "silu"}),
        ("GPT2LMHeadModel", {"activation_function": "gelu_new"}, {"activation_function": "relu"}),
        ("GPT2LMHeadModel", {}, {"scale_attn_by_inverse_layer_idx": True}),
        ("FalconForCausalLM", {"parallel_attn": True}, {"parallel_attn": False}),
        ("FalconForCausalLM", {"alibi": False}, {"alibi": True}),
        ("PhiForCausalLM", {}, {"qk_layernorm": True}),
        (
            "Gemma2ForCausalLM",
            {"head_dim": 256, "query_pre_attn_scalar": 256, "num_hidden_layers": 42},
            {"head_dim": 256, "query_pre_attn_scalar": 224, "num_hidden_layers": 42},
        ),
        (
            "DeepseekV2ForCausalLM",
            {"topk_method": "greedy", "n_group": 1},
            {"topk_method": "group_limited_greedy", "n_group": 8},
        ),
        ("Starcoder2ForCausalLM", {"sliding_window": 4096}, {"sliding_window": 16}),
        ("MistralForCausalLM", {"sliding_window": 1024}, {"sliding_window": 1023}),
    ],
)
def test_a_constant_of_llama_cpp(architecture: str, works: dict[str, Any], fails: dict[str, Any]) -> None:
    config = {"architectures": [architecture], "max_position_embeddings": 32768}
    check({**config, **works}, "here", "leave it")
    with pytest.raises(ModelError, match=r"^here: llama\.cpp .*; leave it\.$"):
        check({**config, **fails}, "here", "leave it")


def test_a_model_of_text_and_images_is_known_by_its_text() -> None:
    text = {"sliding_window": 16, "max_position_embeddings": 512}
    outer = {"architectures": ["Mistral3ForConditionalGeneration"], "text_config": text}
    assert context(outer) == 16
    with pytest.raises(ModelError, match="sliding window"):
        check(outer, "here", "leave it")
