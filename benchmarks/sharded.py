"""A random Llama in shards, and the peak of memory: what ways of merging are measured with, whoever's they are."""

from pathlib import Path
from typing import Any

SHAPES = {"small": (512, 1408, 6, "20MB"), "default": (1536, 4096, 18, "220MB")}
"""Width, width of the feed-forward layers, layers, size of a shard."""


def random_llama(configuration: str) -> tuple[Any, str]:
    """The model of that configuration in bfloat16, and the size of its shards."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    width, inner, layers, shard = SHAPES[configuration]
    config = LlamaConfig(
        vocab_size=32000, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=width // 128, num_key_value_heads=width // 128 // 2 or 1, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).bfloat16(), shard


def peak() -> int:
    """Most memory that this process had since it was last asked to forget, in bytes."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
