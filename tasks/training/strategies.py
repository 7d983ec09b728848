"""What works under which strategy of `launch`, tried one by one; all else is refused before a run."""

from typing import Any

from tasks.training.launch import Launch

PLAIN = ("full", "freeze", "lora", "rslora", "lora_plus", "ia3")
"""Methods that were shown to train as one process does where weights are shared out."""

UNSHARED = ("dora", "qlora")
"""Those that besides train so where each process holds all weights: zero2."""

OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")
"""Optimisers whose states can be shared out with the weights."""


def check_strategy(settings: Any) -> None:
    """Raise `ValueError` for settings that the strategy of `settings.launch` cannot carry out."""
    launch: Launch = settings.launch
    strategy = launch.strategy
    if strategy == "ddp":
        return
    if strategy != "fsdp2" and launch.world == 1:
        raise ValueError(
            f"launch.strategy {strategy} has no effect with a single process; set it to ddp, or raise processes"
        )
    key = f"launch.strategy {strategy}"
    method = settings.method
    shown = (*PLAIN, *UNSHARED) if strategy == "zero2" else PLAIN
    if settings.quantized and (strategy != "zero2" or settings.quantized == "int8"):
        raise ValueError(
            f"{key} does not work on a quantised base: weights packed by bitsandbytes cannot be sharded; set "
            "quantization to null and method to lora, or strategy to ddp, or to zero2 for 4 bits"
        )
    if method not in shown:
        raise ValueError(f"{key} is untested with {method}; use one of {', '.join(shown)}, or ddp")
    if strategy != "fsdp2" and (method == "lora_plus" or (settings.lora.b_ratio or 1) != 1):
        raise ValueError(
            f"{key} gives all weights the same learning rate, but lora_plus needs two; set method to lora and "
            "lora.b_ratio to null, or strategy to fsdp2"
        )
    if settings.weights != "float32":
        raise ValueError(
            f"{key} does not work with weights {settings.weights}; set weights to float32, or strategy to ddp"
        )
    if settings.optimizer not in OPTIMIZERS:
        raise ValueError(
            f"{key} does not shard the states of {settings.optimizer}; use one of {', '.join(OPTIMIZERS)}, or ddp"
        )
    if getattr(settings, "patience", None) and strategy != "fsdp2":
        raise ValueError(f"{key} cannot restore the best checkpoint; set patience to null, or strategy to fsdp2")
    if named := sorted(set(settings.peft) & {"modules_to_save", "trainable_token_indices"}):
        raise ValueError(
            f"{key} does not save peft.{named[0]}, which are copies of sharded weights; remove it, or set strategy to "
            "ddp"
        )
