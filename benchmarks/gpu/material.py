"""Models, a tokenizer and rows for the benchmark, made from seeds alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.sizes import Size

LEXICON = 2000
"""Different words; each becomes a token or two."""

PAIRS = 5
"""Rows for each pair of a better and a worse answer."""

TASTE = "def taste(prompt, answer, reference):\n    return len(set(answer)) / 100\n"
"""What an answer is worth to grpo: the different characters in it, of which random models give many and few."""


def make(place: Path, size: Size) -> None:
    """Rows in `place/texts`, a function that rewards answers, and the three models `llama`, `mixture`, `states`."""
    from tasks.base.pretrain import train_tokenizer
    from tasks.base.settings import Architecture

    words = _lexicon()
    texts = place / "texts"
    texts.mkdir()
    _write(texts / "rows.jsonl", _rows(size, words))
    _write(texts / "pairs.jsonl", _pairs(size, words))
    (place / "guides").mkdir()
    (place / "guides" / "taste.py").write_text(TASTE)
    vocabulary = size.vocabulary * 3 // 4
    tokenizer = train_tokenizer([" ".join(words)] * 4, Architecture(vocabulary=vocabulary, context=size.context))
    for name, config in _configurations(size, tokenizer).items():
        _save(config, tokenizer, place / "models" / name)


def _lexicon() -> list[str]:
    """Words of two to four syllables."""
    random = np.random.default_rng(0)
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    drawn = ("".join(random.choice(syllables, random.integers(2, 5))) for _ in range(3 * LEXICON))
    return sorted(set(drawn))[:LEXICON]


def _rows(size: Size, words: list[str]) -> list[dict[str, Any]]:
    """Requests and answers of random words, as long as each other."""
    random = np.random.default_rng(1)
    halves = np.clip(random.lognormal(np.log(size.words / 2), 0.6, size.rows), 4, size.context // 3).astype(int)

    def text(count: int) -> str:
        return " ".join(random.choice(words, count))

    return [
        {"messages": [{"role": "user", "content": text(half)}, {"role": "assistant", "content": text(half)}]}
        for half in halves
    ]


def _pairs(size: Size, words: list[str]) -> list[dict[str, Any]]:
    random = np.random.default_rng(2)

    def turn(role: str) -> list[dict[str, str]]:
        return [{"role": role, "content": " ".join(random.choice(words, size.words // 2))}]

    return [
        {"prompt": turn("user"), "chosen": turn("assistant"), "rejected": turn("assistant")}
        for _ in range(size.rows // PAIRS)
    ]


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _configurations(size: Size, tokenizer: Any) -> dict[str, Any]:
    """A Llama; a mixture of experts, whose experts are counted; a state-space model, which adds up along a row."""
    from transformers import LlamaConfig, Mamba2Config, Qwen3MoeConfig

    width, heads = size.width, max(size.width // 64, 2)
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    shape = {
        "vocab_size": size.vocabulary, "hidden_size": width, "num_attention_heads": heads,
        "num_key_value_heads": heads // 2, "max_position_embeddings": size.context, "tie_word_embeddings": True,
    }  # fmt: skip
    few = max(size.layers // 4, 2)
    return {
        "llama": LlamaConfig(**shape, **ends, intermediate_size=width * 11 // 4, num_hidden_layers=size.layers),
        "mixture": Qwen3MoeConfig(
            **shape, **ends, num_hidden_layers=few, head_dim=64, intermediate_size=width, num_experts=8,
            num_experts_per_tok=2, moe_intermediate_size=width // 2, decoder_sparse_step=1, mlp_only_layers=[],
        ),
        "states": Mamba2Config(
            **ends, vocab_size=size.vocabulary, hidden_size=width, num_hidden_layers=few, expand=2, head_dim=16,
            num_heads=width // 8, n_groups=1, state_size=16, chunk_size=64, tie_word_embeddings=True,
        ),
    }  # fmt: skip


def _save(config: Any, tokenizer: Any, folder: Path) -> None:
    """A model with random weights, stored in bfloat16 as most are."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
