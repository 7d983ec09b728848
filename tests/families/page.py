"""docs/models.md: which families go through which part of the chain; `python -m tests.families --page` writes it.

The page is made of `LIMITS`, which the tests in the tier `long` hold against what each family really does.
"""

from pathlib import Path

from tests.families.configurations import DENSE, HYBRIDS, MIXTURES, MULTIMODAL, Family

PAGE = Path("docs/models.md")

COLUMNS = {
    "LoRA": ("lora: train", "lora: merge"),
    "QLoRA": ("qlora: train", "qlora: merge"),
    "full": ("full: train", "full: merge"),
    "packing": ("packing: template", "packing: train"),
    "new tokens": ("new tokens: train", "new tokens: merge"),
    "DPO": ("dpo: align", "dpo: merge"),
    "nf4": ("nf4",),
    "int8": ("int8",),
    "GGUF": ("gguf",),
}
"""Columns of the page, and the steps of the chain that each stands for."""

PARTS = {
    "Dense": DENSE,
    "Mixtures of experts": MIXTURES,
    "Recurrent and hybrid": HYBRIDS,
    "Text and images, tuned on text": MULTIMODAL,
}

MIXES = "the base mixes rows that share a pack"
WHOLE = "of the layers' weights in fewer bits"
LOW = "of the base's weights in low bits"
CONVERTER = "gguf-q8_0: llama.cpp "
PER_LAYER = "embed_tokens_per_layer, which train.method lora would not save"
REWARDS = "in the first step rewards/"
BITS = "RuntimeError: "

REASONS = {
    MIXES: "Rows that share a pack see each other in this model; set `template.packing` to false.",
    WHOLE: "bitsandbytes leaves experts, towers and custom layers as they are; lower `quantize.min_low_bits` to "
    "quantise the rest.",
    LOW: "bitsandbytes leaves experts and custom layers as they are; lower `train.min_low_bits` to train with the "
    "rest in 4 bits.",
    CONVERTER: "llama.cpp does not convert the architecture, or computes the tiny model differently (a window of 16 "
    "tokens, or 2 layers if the result depends on their number); `temper check` says which.",
    PER_LAYER: "New tokens would add rows to the embeddings of each layer, which an adapter does not save; train with "
    "the existing tokens.",
    REWARDS: "The model gives two answers for the same row, so a preference loss has no reference.",
    BITS: "bitsandbytes cannot hold a model of this kind; `temper check` finds it on a small copy.",
}
"""Parts of the sentences that steps are refused with, and what the page says of each."""

UNCONVERTED = (
    "cohere",
    "exaone4",
    "gemma3n_text",
    "gpt_neo",
    "helium",
    "ministral",
    "mistral_swa",
    "nemotron_h",
    "olmoe",
    "opt",
    "phimoe",
    "qwen3_moe",
    "smollm3",
    "starcoder2",
)
"""Families whose tiny models llama.cpp does not convert."""

UNQUANTIZED = (
    "falcon",
    "falcon_new",
    "gemma4",
    "gpt_oss",
    "granitemoe",
    "granitemoehybrid",
    "jamba",
    "mixtral",
    "olmoe",
    "phimoe",
    "qwen2_moe",
    "qwen3_moe",
    "qwen3_next",
)
"""Families of which bitsandbytes leaves most of the weights whole."""

APART = ("bloom", "falcon", "falcon_new", "gpt_oss", "jamba", "opt", "qwen3_5")
"""Families beside recurrent ones whose rows cannot share a pack."""

LIMITS: dict[tuple[str, str], str] = {
    **dict.fromkeys([(name, step) for name in UNCONVERTED for step in ("gguf", "ollama")], CONVERTER),
    **dict.fromkeys([(name, "packing: train") for name in (*HYBRIDS, *APART)], MIXES),
    **dict.fromkeys([(name, step) for name in UNQUANTIZED for step in ("nf4", "int8")], WHOLE),
    **dict.fromkeys([(name, "qlora: train") for name in UNQUANTIZED], LOW),
    **dict.fromkeys([(name, "new tokens: train") for name in ("gemma3n_text", "gemma4_text", "gemma4")], PER_LAYER),
    ("phimoe", "dpo: align"): REWARDS,
    **dict.fromkeys([("deepseek_v2", "int8"), ("deepseek_v3", "int8"), ("mamba", "nf4"), ("mamba", "int8"),
                     ("mamba", "qlora: train")], BITS),
}  # fmt: skip
"""By family and step, a part of the sentence that it is refused with, a key of `REASONS`."""


def page() -> str:
    """The page."""
    numbers = {reason: number for number, reason in enumerate(REASONS, 1)}
    text = [
        "# Models",
        "",
        "Each family is tested with a tiny random model of its architecture (two layers, 64 wide, with all special",
        "features of its code), by `python -m tests.families` and tests marked `long`. *yes*: the first loss equals",
        "the base's own, the merged model computes the same as the trained one in transformers and peft, no stored",
        "tensor is lost, and answers in batches equal those of single rows. DPO is tested on preference data alone. A",
        "number gives the reason why `temper check` or the stage refuses.",
    ]
    for title, families in PARTS.items():
        text += ["", f"## {title}", "", f"| `model_type` | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
        text += [_line(name, family, numbers) for name, family in families.items()]
    text += ["", "## Limits", "", *(f"{number}. {REASONS[reason]}" for reason, number in numbers.items())]
    return "\n".join(text) + "\n"


def _line(name: str, family: Family, numbers: dict[str, int]) -> str:
    cells = []
    for steps in COLUMNS.values():
        limit = next((LIMITS[name, step] for step in steps if (name, step) in LIMITS), None)
        cells.append(f"no ({numbers[limit]})" if limit else "yes")
    shown = f"`{family.model_type}`" + ("" if name == family.model_type else f" ({name})")
    return f"| {shown} | {' | '.join(cells)} |"
