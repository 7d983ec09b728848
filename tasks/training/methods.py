"""What can be tuned, by name, and with what settings; and what cannot, and why. Known without loading a library."""

from dataclasses import dataclass, field
from typing import Any

from tasks.named.choices import hint

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
    beside: bool = False
    """Whether it calls the base's layers as they are and never reads their weights, so that they may have 16 bits."""

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
    "lora": Method("LORA", _lora(), beside=True),
    "qlora": Method("LORA", _lora(), beside=True),
    "dora": Method("LORA", _lora(use_dora=True)),
    "rslora": Method("LORA", _lora(use_rslora=True), beside=True),
    "lora_plus": Method("LORA", _lora(), beside=True),
    "pissa": Method("LORA", _lora(init_lora_weights="pissa"), quantized=False, plain=True),
    "olora": Method("LORA", _lora(init_lora_weights="olora"), quantized=False, plain=True),
    "eva": Method("LORA", _lora(init_lora_weights="eva"), quantized=False, beside=True),
    "orthogonal": Method("LORA", _lora(init_lora_weights="orthogonal"), beside=True),
    "mica": Method("LORA", _lora(init_lora_weights="mica"), quantized=False),
    "adalora": Method("ADALORA", _lora(), resumes=False, own_loss=True, beside=True),
    "loha": Method("LOHA", EVERY, quantized=False, beside=True),
    "lokr": Method("LOKR", EVERY, quantized=False, beside=True),
    "ia3": Method("IA3", beside=True),
    "oft": Method("OFT", EVERY, beside=True),
    "boft": Method("BOFT", EVERY, beside=True),
    "vera": Method("VERA", EVERY, beside=True),
    "pvera": Method("PVERA", EVERY, quantized=False, beside=True),
    "fourierft": Method("FOURIERFT", EVERY, beside=True),
    "waveft": Method("WAVEFT", EVERY, beside=True),
    "miss": Method("MISS", EVERY, beside=True),
    "hra": Method("HRA", EVERY, quantized=False, beside=True),
    "delora": Method("DELORA", EVERY, quantized=False),
    "gralora": Method("GRALORA", EVERY, beside=True),
    "glora": Method("GLORA", EVERY, quantized=False),
    "hira": Method("HIRA", EVERY, quantized=False, beside=True),
    "lily": Method("LILY", EVERY, quantized=False, beside=True),
    "vblora": Method("VBLORA", EVERY, beside=True),
    "randlora": Method("RANDLORA", EVERY, beside=True),
    "unilora": Method("UNILORA", EVERY, quantized=False, beside=True),
    "tinylora": Method("TINYLORA", EVERY, quantized=False),
    "road": Method("ROAD", EVERY, beside=True),
    "shira": Method("SHIRA", EVERY),
    "c3a": Method("C3A", EVERY, beside=True),
    "deft": Method("DEFT", EVERY, quantized=False),
    "frod": Method("FROD", EVERY, quantized=False),
    "osf": Method("OSF", EVERY, quantized=False),
    "psoft": Method("PSOFT", EVERY, quantized=False),
    "peanut": Method("PEANUT", EVERY, quantized=False, beside=True),
    "adamss": Method("ADAMSS", EVERY, quantized=False),
    "beft": Method("BEFT", EVERY, quantized=False, beside=True),
    "supertuning": Method("SUPERTUNING", EVERY, quantized=False),
    "shadow": Method("SHADOW", quantized=False, own_loss=True, **_PREFIX, beside=True),
    "ln_tuning": Method("LN_TUNING", beside=True),
    "trainable_tokens": Method("TRAINABLE_TOKENS", needs=("token_indices",)),
    "prompt_tuning": Method("PROMPT_TUNING", {"num_virtual_tokens": 20}, **_PREFIX, beside=True),
    "prefix_tuning": Method("PREFIX_TUNING", {"num_virtual_tokens": 20}, **_PREFIX),
    "p_tuning": Method(
        "P_TUNING", {"num_virtual_tokens": 20, "encoder_hidden_size": 128}, resumes=False, **_PREFIX, beside=True
    ),
    "adaption_prompt": Method(
        "ADAPTION_PROMPT", {"adapter_len": 10, "adapter_layers": 2}, quantized=False, **_PREFIX, beside=True
    ),
    "cartridge": Method("CARTRIDGE", {"num_virtual_tokens": 20}, quantized=False, **_PREFIX),
}
"""Every way of tuning by the name that `train.method` takes."""

REFUSED = {
    "none": (
        "choose a method that tunes something; to align the base itself, set train.enabled to false and align.start to "
        "base"
    ),
    "loftq": "peft computes it only on CUDA, from weights that it then replaces; use qlora",
    "corda": "peft needs its own pass over the data first, and its saved adapter does not load; use eva",
    "lora_ga": "peft needs gradients over the data first, and its saved adapter gives other logits; use pissa or eva",
    "multitask_prompt_tuning": "it needs a task number for each row, which rows here do not have; use prompt_tuning",
    "poly": "it needs a task number for each row, which rows here do not have; use lora",
    "xlora": "it mixes adapters that are already trained; train them one by one and combine them in merge",
    "cpt": "it weights the tokens of a context that is not part of the rows; use prompt_tuning",
    "bone": "peft has replaced it; use miss",
    "bottleneck": "the library adapters supports transformers only up to 4.57; use lora",
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
