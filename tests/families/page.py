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

LIMITS: dict[tuple[str, str], str] = {}
"""By family and step, a part of the sentence that it is refused with."""

REASONS = {
    MIXES: "The model lets rows that share a pack see each other; set `template.packing` to false.",
    WHOLE: "bitsandbytes leaves experts and layers of its own kind whole; lower `quantize.min_low_bits`, or take GGUF.",
}
"""What the page says of each."""


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


def check() -> None:
    """Raise `ValueError` where a limit names no family or gives no reason of the page."""
    for (name, _), limit in LIMITS.items():
        if name not in FAMILIES or limit not in REASONS:
            raise ValueError(f"{name}: {limit}")
