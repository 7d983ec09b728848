"""Optimisers and courses of the learning rate by name: those of transformers, Muon, and what is refused, and why."""

from importlib.util import find_spec

from tasks.named.choices import hint

OPTIMIZERS = (
    "adamw_torch", "adamw_torch_fused", "adamw_torch_8bit", "adafactor", "sgd", "adagrad", "rmsprop", "muon",
    "ademamix", "ademamix_8bit", "adamw_8bit", "adamw_bnb_8bit", "lion_8bit", "lion_32bit",
    "paged_adamw_32bit", "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "paged_lion_32bit",
    "paged_lion_8bit", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit",
    "galore_adamw", "galore_adafactor", "apollo_adamw", "grokadamw", "stable_adamw",
    "schedule_free_adamw", "schedule_free_radam", "schedule_free_sgd",
)  # fmt: skip
"""Names that `optimizer` takes."""

PROJECTING = ("galore_adamw", "galore_adafactor", "apollo_adamw")
"""Those that project the gradients of whole layers, which `optim_target_modules` names."""

ROUNDED = (
    "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw_32bit", "paged_adamw_8bit",
    "lion_32bit", "lion_8bit", "paged_lion_32bit", "paged_lion_8bit", "ademamix", "ademamix_8bit",
    "paged_ademamix_32bit", "paged_ademamix_8bit", "adafactor", "sgd", "adagrad", "rmsprop",
)  # fmt: skip
"""Those that can step one weight at a time, as weights in bfloat16 need."""

UNSAVED = ("galore_adamw", "galore_adafactor", "grokadamw")
"""Those whose state is not all in a checkpoint, or holds objects that torch does not load back: none is written."""

PACKAGES = {
    "galore_adamw": ("galore_torch", "galore-torch"),
    "galore_adafactor": ("galore_torch", "galore-torch"),
    "apollo_adamw": ("apollo_torch", "apollo-torch"),
    "grokadamw": ("grokadamw", "grokadamw"),
    "stable_adamw": ("optimi", "torch-optimi"),
    "schedule_free_adamw": ("schedulefree", "schedulefree"),
    "schedule_free_radam": ("schedulefree", "schedulefree"),
    "schedule_free_sgd": ("schedulefree", "schedulefree"),
    "adamw_torch_8bit": ("torchao", "torchao"),
}
"""Module and distribution that one of them needs besides what temper brings."""

_STATE = "its state is not in checkpoints, so an interrupted run could not end in the same bytes"
_CUDA = "it runs only on CUDA, where it is untested; use adamw_8bit"

REFUSED = {
    "galore_adamw_layerwise": f"{_STATE}; use galore_adamw",
    "galore_adamw_8bit_layerwise": f"{_STATE}; use galore_adamw",
    "galore_adafactor_layerwise": f"{_STATE}; use galore_adafactor",
    "apollo_adamw_layerwise": f"{_STATE}; use apollo_adamw",
    "galore_adamw_8bit": _CUDA,
    "adalomo": f"{_STATE}, and it runs only on CUDA; use adafactor",
    "lomo": "it updates weights during the backward pass, without gradient accumulation or checks; use adafactor",
    "badam": "neither its state nor its current block is in checkpoints, so an interrupted run could not end in the "
    "same bytes; set method: freeze, or use adafactor",
    "adamw_torch_4bit": "it compiles for minutes at each start; use adamw_8bit",
    "adamw_torch_xla": "it is for TPUs",
    "adamw_torch_npu_fused": "it is for NPUs",
    "adamw_anyprecision": "its package torchdistx is not maintained; use adamw_torch",
}
"""Optimisers that transformers or others know, and why they are not offered."""

SCHEDULERS = (
    "linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "polynomial",
    "constant", "constant_with_warmup", "inverse_sqrt", "warmup_stable_decay",
)  # fmt: skip
"""Names that `scheduler` takes; what else they need goes into `arguments: {lr_scheduler_kwargs: {...}}`."""

PARTICULAR = ("cosine_with_min_lr", "cosine_warmup_with_min_lr", "polynomial", "warmup_stable_decay")
"""Those that need more than a number of steps, or refuse some learning rates."""

STATE = {
    "sgd": 0.0, "schedule_free_sgd": 4.0, "adagrad": 4.0, "rmsprop": 4.0, "rmsprop_bnb": 4.0, "rmsprop_bnb_32bit": 4.0,
    "rmsprop_bnb_8bit": 1.0, "lion_32bit": 4.0, "paged_lion_32bit": 4.0, "lion_8bit": 1.0, "paged_lion_8bit": 1.0,
    "adafactor": 0.1, "muon": 4.0, "adamw_8bit": 2.0, "adamw_bnb_8bit": 2.0, "paged_adamw_8bit": 2.0,
    "adamw_torch_8bit": 2.0, "ademamix": 12.0, "paged_ademamix_32bit": 12.0, "ademamix_8bit": 3.0,
    "paged_ademamix_8bit": 3.0, "grokadamw": 12.0,
}  # fmt: skip
"""Bytes that an optimiser keeps for each trained weight; 8 for those not named."""


def state_bytes(name: str) -> float:
    """Bytes that the optimiser `name` keeps for each trained weight."""
    return STATE.get(name, 8.0)


def optimizer(name: str) -> str:
    """`name`; `ValueError` where it is refused, unknown, or its package is not installed."""
    if name in REFUSED:
        raise ValueError(f"not offered: {REFUSED[name]}")
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimiser; {hint(name, OPTIMIZERS).removesuffix('.')}")
    module, distribution = PACKAGES.get(name, (None, None))
    if module and find_spec(module) is None:
        raise ValueError(f"it needs a package that is not installed; run: pip install {distribution}")
    return name


def scheduler(name: str) -> str:
    """`name`; `ValueError` where nobody knows it."""
    if name not in SCHEDULERS:
        raise ValueError(f"unknown learning rate schedule; {hint(name, SCHEDULERS).removesuffix('.')}")
    return name
