"""What others publish of the memory that tuning takes, beside what `temper check --card` says of the same training.

    python -m benchmarks.published    the table of docs/memory.md, a row a line

Nothing is trained: each row is priced from the sizes in the model's public config.json, which `MODELS` holds.
"""

from dataclasses import dataclass, field
from typing import Any

GIB = 2**30

MODELS: dict[str, dict[str, Any]] = {
    "Llama 2 7B": {"num_hidden_layers": 32, "intermediate_size": 11008, "vocab_size": 32000},
    "Llama 3.1 8B": {
        "num_hidden_layers": 32, "intermediate_size": 14336, "vocab_size": 128256, "num_key_value_heads": 8,
    },
    "Llama 2 70B": {
        "num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672, "vocab_size": 32000,
        "num_attention_heads": 64, "num_key_value_heads": 8,
    },
    "Llama 3.3 70B": {
        "num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672, "vocab_size": 128256,
        "num_attention_heads": 64, "num_key_value_heads": 8,
    },
}  # fmt: skip
"""By the model's name: what its config.json says beyond transformers' defaults for a Llama (4096 wide, 32 heads)."""

SOURCES = {
    "LLaMA-Factory": "https://github.com/hiyouga/LLaMA-Factory, README, Hardware Requirement: estimated, batch and "
    "length not stated; priced for 1 x 1,024 tokens and LoRA of rank 8",
    "LLaMA-Factory, wiki": "https://github.com/hiyouga/LLaMA-Factory/wiki/Performance-comparison: measured on an A100 "
    "with FlashAttention 2, batch 1, rank 8 on all linear layers",
    "Unsloth": "https://unsloth.ai/docs/get-started/fine-tuning-for-beginners/unsloth-requirements: the least that is "
    "needed, batch and length not stated; priced for 1 x 1,024 tokens and LoRA of rank 16",
    "Unsloth, transformers": "https://github.com/unslothai/unsloth, README, Context length benchmarks, column Hugging "
    "Face + FA2: the longest row that a card of this size takes, batch 1, rank 32 on all linear layers",
    "torchtune": "https://github.com/pytorch/torchtune, README of version 0.3, Memory and training speed: measured, "
    "batches of 2 x 2,048 tokens, compiled; rank 8 as its recipes have it",
}
"""What is compared with, and the settings that it states."""

STATES = "AdamW's two states are bfloat16 there, float32 in temper: 4 bytes a weight"
STEPPED = (
    "there each weight is stepped in the backward pass, so that no gradients are kept, and the optimiser's states wait "
    "in the host's memory: 4 bytes a weight"
)
SHORT = "batch and length are not stated; 15 GiB of both are the weights"
OFFLOADED = "Unsloth keeps what the backward pass needs in the host's memory"
FLOAT32 = (
    "what goes from layer to layer is float32 in temper (1 GiB more), and their figure leaves out what CUDA itself "
    "holds (0.6 GiB)"
)
COPIES = (
    "likely peft's recipe, which makes embeddings and head float32 (2 GiB more), and a further copy of all logits, "
    "which transformers made then"
)


@dataclass(frozen=True)
class Row:
    """A training whose memory somebody published."""

    source: str
    """A name in `SOURCES`."""
    model: str
    """A name in `MODELS`."""
    what: str
    """The method, for a reader."""
    tokens: int
    """Of a row; rows are not padded."""
    published: float
    """GiB; sources that write GB mean the GB that cards are sold by."""
    settings: dict[str, Any]
    """Keys of the section `train`."""
    lines: int = 1
    tiled: bool = True
    """Whether the loss goes in tiles there; else all logits are made at one time."""
    why: str = ""
    """What makes the difference, where it is over a fifth."""
    fixed: dict[str, Any] = field(default_factory=lambda: {"gradient_checkpointing": True})

    def estimated(self) -> float:
        """GiB on a card by our estimate."""
        from transformers import LlamaConfig

        from tasks.memory.passes import Batch
        from tasks.memory.price import price
        from tasks.train.settings import Settings

        config = LlamaConfig(**MODELS[self.model], dtype="bfloat16", tie_word_embeddings=False)
        settings = Settings.model_validate({**self.fixed, **self.settings, "batch_size": self.lines})
        batch = Batch(self.lines, self.tokens, self.tokens, tiled=self.tiled)
        return price("train", config, settings, settings, batch, bfloat16=True, card=True).total / GIB

    def line(self) -> str:
        """A row of the table, in Markdown."""
        ours = self.estimated()
        numbers = f"{self.published:g} | {ours:.1f} | {ours / self.published - 1:+.0%}"
        return (
            f"| {self.source} | {self.model} | {self.what} | {self.lines} x {self.tokens:,} | {numbers} | {self.why} |"
        )


def _lora(rank: int, **settings: Any) -> dict[str, Any]:
    return {"method": "lora", "lora": {"r": rank}, **settings}


def _qlora(rank: int, **settings: Any) -> dict[str, Any]:
    return {"method": "qlora", "lora": {"r": rank}, **settings}


PURE = {"method": "full", "weights": "bfloat16_stochastic"}

ROWS = [
    Row("LLaMA-Factory", "Llama 2 7B", "full, mixed precision", 1024, 120, {"method": "full"}),
    Row("LLaMA-Factory", "Llama 2 7B", "full, bfloat16", 1024, 60, PURE, why=STATES),
    Row("LLaMA-Factory", "Llama 2 7B", "LoRA", 1024, 16, _lora(8)),
    Row("LLaMA-Factory", "Llama 2 7B", "QLoRA, 8 bits", 1024, 10, _lora(8, quantization="int8")),
    Row("LLaMA-Factory", "Llama 2 7B", "QLoRA, 4 bits", 1024, 6, _qlora(8)),
    Row("LLaMA-Factory", "Llama 2 70B", "full, mixed precision", 1024, 1200, {"method": "full"}),
    Row("LLaMA-Factory", "Llama 2 70B", "full, bfloat16", 1024, 600, PURE, why=STATES),
    Row("LLaMA-Factory", "Llama 2 70B", "LoRA", 1024, 160, _lora(8)),
    Row("LLaMA-Factory", "Llama 2 70B", "QLoRA, 8 bits", 1024, 80, _lora(8, quantization="int8")),
    Row("LLaMA-Factory", "Llama 2 70B", "QLoRA, 4 bits", 1024, 48, _qlora(8)),
    *[
        Row("LLaMA-Factory, wiki", "Llama 2 7B", "QLoRA, 4 bits", tokens, size, _qlora(8), tiled=False)
        for tokens, size in ((1024, 6), (4096, 9), (8192, 12), (16384, 19), (32768, 32))
    ],
    Row("Unsloth", "Llama 3.1 8B", "LoRA", 1024, 22, _lora(16), why=SHORT),
    Row("Unsloth", "Llama 3.1 8B", "QLoRA, 4 bits", 1024, 6, _qlora(16), why=OFFLOADED),
    Row("Unsloth", "Llama 3.3 70B", "LoRA", 1024, 164, _lora(16)),
    Row("Unsloth", "Llama 3.3 70B", "QLoRA, 4 bits", 1024, 41, _qlora(16)),
    *[
        Row("Unsloth, transformers", "Llama 3.1 8B", "QLoRA, 4 bits", tokens, size, _qlora(32), tiled=False, why=why)
        for tokens, size, why in ((932, 12, COPIES), (5789, 24, COPIES), (15502, 48, ""), (28454, 80, ""))
    ],
    Row("Unsloth, transformers", "Llama 3.3 70B", "QLoRA, 4 bits", 6916, 80, _qlora(32), tiled=False),
    Row("torchtune", "Llama 3.1 8B", "full, bfloat16, 8-bit optimiser", 2048, 18.9,
        {**PURE, "optimizer": "paged_adamw_8bit"}, lines=2, why=STEPPED),
    Row("torchtune", "Llama 3.1 8B", "LoRA", 2048, 16.2, _lora(8), lines=2),
    Row("torchtune", "Llama 3.1 8B", "QLoRA, 4 bits", 2048, 7.4, _qlora(8), lines=2, why=FLOAT32),
]  # fmt: skip
"""Each with activations computed again in the backward pass, as these sources have it."""

HEAD = (
    "| source | model | method | batch | published, GiB | estimated, GiB | difference | why |\n"
    "|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print the table."""
    print(HEAD, flush=True)
    for row in ROWS:
        print(row.line(), flush=True)


if __name__ == "__main__":
    main()
