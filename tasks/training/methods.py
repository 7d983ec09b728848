"""What can be tuned, by name, and with what settings; and what cannot, and why. Known without loading a library."""

from dataclasses import dataclass, field
from typing import Any

from tasks.core.settings import hint

EVERY = {"target_modules": "all-linear"}
"""Every linear layer but the head."""


@dataclass(frozen=True)
class Method:
    """One way of tuning: a kind of peft with some of its fields set, or the model's own weights."""

    kind: str | None = None
    """Name of the kind in peft; None: the model's own weights."""
    preset: dict[str, Any] = field(default_factory=dict)
    """Fields of peft's configuration that are set unless `train.peft` says otherwise."""
    needs: tuple[str, ...] = ()
    """Fields of peft's configuration that nobody but the user can know."""
    quantized: bool = True
    """Whether it can be put on a quantised base."""
    side_by_side: bool = True
    """Whether rows may share a line of a batch. What it puts before a row would stand before the first one only."""
    plain: bool = False
    """Whether what is trained is saved as a LoRA adapter of twice the rank on the untouched base: it starts by moving
    a part of the base's weights into the adapter, and whoever loads it would have to repeat that to the last bit."""
    resumes: bool = True
    """Whether all that it knows is in a checkpoint."""
    own_loss: bool = False
    """Whether peft adds something of its own to the model's loss."""

    @property
    def lora(self) -> bool:
        """Whether the section `lora` describes it."""
        return self.kind == "LORA"


def _lora(**preset: Any) -> dict[str, Any]:
    return {**EVERY, **preset}


_PREFIX: dict[str, Any] = {"side_by_side": False}

METHODS: dict[str, Method] = {
    "full": Method(),
    "freeze": Method(),
    "lora": Method("LORA", _lora()),
    "qlora": Method("LORA", _lora()),
    "dora": Method("LORA", _lora(use_dora=True)),
    "rslora": Method("LORA", _lora(use_rslora=True)),
    "lora_plus": Method("LORA", _lora()),
    "pissa": Method("LORA", _lora(init_lora_weights="pissa"), quantized=False, plain=True),
    "olora": Method("LORA", _lora(init_lora_weights="olora"), quantized=False, plain=True),
    "eva": Method("LORA", _lora(init_lora_weights="eva"), quantized=False),
    "orthogonal": Method("LORA", _lora(init_lora_weights="orthogonal")),
    "mica": Method("LORA", _lora(init_lora_weights="mica"), quantized=False),
    "adalora": Method("ADALORA", _lora(), resumes=False, own_loss=True),
    "loha": Method("LOHA", EVERY, quantized=False),
    "lokr": Method("LOKR", EVERY, quantized=False),
    "ia3": Method("IA3"),
    "oft": Method("OFT", EVERY),
    "boft": Method("BOFT", EVERY),
    "vera": Method("VERA", EVERY),
    "pvera": Method("PVERA", EVERY, quantized=False),
    "fourierft": Method("FOURIERFT", EVERY),
    "waveft": Method("WAVEFT", EVERY),
    "miss": Method("MISS", EVERY),
    "hra": Method("HRA", EVERY, quantized=False),
    "delora": Method("DELORA", EVERY, quantized=False),
    "gralora": Method("GRALORA", EVERY),
    "glora": Method("GLORA", EVERY, quantized=False),
    "hira": Method("HIRA", EVERY, quantized=False),
    "lily": Method("LILY", EVERY, quantized=False),
    "vblora": Method("VBLORA", EVERY),
    "randlora": Method("RANDLORA", EVERY),
    "unilora": Method("UNILORA", EVERY, quantized=False),
    "tinylora": Method("TINYLORA", EVERY, quantized=False),
    "road": Method("ROAD", EVERY),
    "shira": Method("SHIRA", EVERY),
    "c3a": Method("C3A", EVERY),
    "deft": Method("DEFT", EVERY, quantized=False),
    "frod": Method("FROD", EVERY, quantized=False),
    "osf": Method("OSF", EVERY, quantized=False),
    "psoft": Method("PSOFT", EVERY, quantized=False),
    "peanut": Method("PEANUT", EVERY, quantized=False),
    "adamss": Method("ADAMSS", EVERY, quantized=False),
    "beft": Method("BEFT", EVERY, quantized=False),
    "supertuning": Method("SUPERTUNING", EVERY, quantized=False),
    "shadow": Method("SHADOW", quantized=False, own_loss=True, **_PREFIX),
    "ln_tuning": Method("LN_TUNING"),
    "trainable_tokens": Method("TRAINABLE_TOKENS", needs=("token_indices",)),
    "prompt_tuning": Method("PROMPT_TUNING", {"num_virtual_tokens": 20}, **_PREFIX),
    "prefix_tuning": Method("PREFIX_TUNING", {"num_virtual_tokens": 20}, **_PREFIX),
    "p_tuning": Method("P_TUNING", {"num_virtual_tokens": 20, "encoder_hidden_size": 128}, resumes=False, **_PREFIX),
    "adaption_prompt": Method("ADAPTION_PROMPT", {"adapter_len": 10, "adapter_layers": 2}, quantized=False, **_PREFIX),
    "cartridge": Method("CARTRIDGE", {"num_virtual_tokens": 20}, quantized=False, **_PREFIX),
}
"""Every way of tuning by the name that `train.method` takes."""

REFUSED = {
    "none": "something has to be tuned; to align the base itself, set train.enabled to false and align.start to base",
    "loftq": "peft computes it on CUDA only, from weights that it then replaces; take qlora",
    "corda": "peft needs a pass over data with hooks of its own before it, and what it saves does not load; take eva",
    "lora_ga": "peft needs gradients over data before it, and what it saves loads with other logits; take pissa or eva",
    "multitask_prompt_tuning": "it needs a task's number for each row, which rows do not carry; take prompt_tuning",
    "poly": "it needs a task's number for each row, which rows do not carry; take lora",
    "xlora": "it mixes adapters that were trained before; train them one by one and combine them in the stage merge",
    "cpt": "it weighs the tokens of a context that is not part of the rows; take prompt_tuning",
    "bone": "peft has replaced it; take miss",
    "bottleneck": "the library adapters works with transformers up to 4.57 only; take lora",
}
"""Ways of tuning that other programs or peft know, and why they are not offered."""

NICKNAMES = {
    "llama_adapter": "adaption_prompt",
    "prompt": "prompt_tuning",
    "prefix": "prefix_tuning",
    "layer_norm": "ln_tuning",
    "bottleneck_adapter": "bottleneck",
}
"""Other names of some of them."""


def known(name: str) -> str:
    """`name` as `METHODS` has it; `ValueError` with the reason where it is refused or nobody knows it."""
    plain = name.lower().replace("-", "_").replace("+", "_plus")
    plain = NICKNAMES.get(plain, plain)
    if plain in REFUSED:
        raise ValueError(f"not offered: {REFUSED[plain]}")
    if plain not in METHODS:
        raise ValueError(f"unknown method; {hint(plain, METHODS).removesuffix('.')}")
    return plain
