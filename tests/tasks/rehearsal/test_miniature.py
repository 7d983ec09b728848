"""A small copy is of the base's own class and computes, whatever the size of the base."""

import pytest

from tasks.rehearsal.miniature import MOST, miniature, small_configuration

LARGE = ("llama", "qwen3", "gemma3_text", "gemma3n_text", "gpt2", "mixtral", "jamba", "falcon_h1", "mamba2", "gemma3",
         "mistral3", "qwen3_next", "gpt_oss", "phi3", "deepseek_v3", "olmoe")  # fmt: skip


@pytest.mark.parametrize("kind", LARGE)
def test_a_copy_of_a_large_model(kind: str) -> None:
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING[kind]()
    before = config.to_dict()
    model = miniature(config)
    assert config.to_dict() == before
    assert model.config.model_type == config.model_type
    assert sum(weight.numel() for weight in model.parameters()) < MOST


def test_each_kind_of_layer_is_kept() -> None:
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING["gemma3_text"]()
    small = small_configuration(config)
    assert set(small.layer_types) == set(config.layer_types) == {"sliding_attention", "full_attention"}
    assert (small.num_attention_heads, small.hidden_size) == (4, config.hidden_size * 4 // config.num_attention_heads)
