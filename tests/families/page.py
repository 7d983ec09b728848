"""docs/models.md: which families go through which part of the chain; `python -m tests.families --page` writes it.

The page is made of `LIMITS`, which the tests in the tier `long` hold against what each family really does.
"""

from pathlib import Path

from tests.families.configurations import DENSE, FAMILIES, HYBRIDS, MIXTURES, MULTIMODAL, Family

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
WRITER = "gguf: "
READ_BACK = "it cannot be used"
DIFFERS = "the merged model differs from base and live adapter"
REWARDS = "in the first step rewards/"
BITS = "RuntimeError: "

REASONS = {
    MIXES: "The model lets rows that share a pack see each other; set `template.packing` to false.",
    WHOLE: "bitsandbytes leaves experts, towers and layers of a kind of their own whole; lower `quantize.min_low_bits` "
    "to have the rest.",
    WRITER: "The writer of GGUF knows Llama, Mistral without a window, Qwen2 and Qwen3.",
    READ_BACK: "transformers cannot read the file back, so it is not proved: there are more embeddings than tokens.",
    DIFFERS: "What is merged is not what was trained, and is not written: keep the adapter.",
    REWARDS: "The model gives two answers for the same row, so a preference loss has no reference.",
    BITS: "bitsandbytes ends in an error that nobody foresaw.",
}
"""Parts of the sentences that steps are refused with, and what the page says of each."""

WRITTEN = {"llama", "mistral", "qwen2", "qwen3", "qwen3_untied"}
"""Families that the writer of GGUF knows."""

APART = ("bloom", "falcon", "falcon_new", "gpt_oss", "jamba", "opt", "qwen3_5")
"""Families beside recurrent ones whose rows cannot share a pack."""

LIMITS: dict[tuple[str, str], str] = {
    **{(name, step): WRITER for name in FAMILIES if name not in WRITTEN for step in ("gguf", "ollama")},
    ("qwen3", "gguf"): READ_BACK,
    **dict.fromkeys([(name, "packing: train") for name in (*HYBRIDS, *APART)], MIXES),
    **dict.fromkeys([(name, step) for name in ("falcon", "falcon_new", "mixtral", "olmoe", "granitemoe", "phimoe",
                                               "qwen2_moe", "qwen3_moe", "gpt_oss", "jamba", "qwen3_next",
                                               "granitemoehybrid", "gemma4") for step in ("nf4", "int8")], WHOLE),
    **dict.fromkeys([("apertus", f"{way}: merge") for way in ("lora", "full", "new tokens", "dpo")], DIFFERS),
    ("phimoe", "dpo: align"): REWARDS,
    **dict.fromkeys([("deepseek_v2", "int8"), ("deepseek_v3", "int8"), ("mamba", "nf4"), ("mamba", "int8"),
                     ("mamba", "qlora: train"), ("gemma3n_text", "qlora: train")], BITS),
}  # fmt: skip
"""By family and step, a part of the sentence that it is refused with, a key of `REASONS`."""


def page() -> str:
    """The page."""
    numbers = {reason: number for number, reason in enumerate(REASONS, 1)}
    text = [
        "# Models",
        "",
        "Each family is tried with a tiny random model of its own architecture (two layers, 64 wide, every peculiarity",
        "of its code kept), by `python -m tests.families` and the tests of the tier `long`. *yes*: the first loss is",
        "the base's own, what is merged computes what was trained as transformers and peft load both, no stored tensor",
        "is lost, and answers are those of one row at a time. DPO is tried on preference data alone. A number says why",
        "`temper check` or the stage refuses.",
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
