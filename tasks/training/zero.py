"""DeepSpeed's ZeRO stages 2 and 3 (Rajbhandari et al. 2020, arXiv:1910.02054), through accelerate.

Weights stay float32 as temper loads them, and the optimiser is torch's own, so that the numbers are those of one
process. Each process loads the whole model before ZeRO-3 takes all but its share away.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.training.launch import Launch, world

STAGES = {"zero2": 2, "zero3": 3}

OFFLOADED = {2: ("offload_optimizer",), 3: ("offload_optimizer", "offload_param")}
"""DeepSpeed's keys for what of a stage can wait in the host's memory."""

AUTOCAST = "torch_autocast"
"""DeepSpeed's key for torch's autocast: products in bfloat16, weights as they are."""


def stage(settings: Any) -> int | None:
    """The stage of ZeRO that `settings` ask for; None for another strategy."""
    launch: Launch | None = getattr(settings, "launch", None)
    return STAGES.get(launch.strategy) if launch else None


def check_installed(what: str, settings: Any) -> None:
    """Raise `SettingsError` where DeepSpeed is asked for and not installed."""
    if stage(settings) and find_spec("deepspeed") is None:
        raise SettingsError(
            f"{PATHS.params}: {what}.launch.strategy {settings.launch.strategy} needs DeepSpeed; install the extra: "
            "pip install 'temper[deepspeed]', or set it to fsdp2."
        )


def configuration(settings: Any, halved: bool) -> dict[str, Any] | None:
    """What DeepSpeed is configured with; None where it is not asked for. `halved`: products in bfloat16."""
    number = stage(settings)
    if number is None:
        return None
    return {
        "zero_optimization": {
            "stage": number,
            "stage3_gather_16bit_weights_on_model_save": False,
            **({part: {"device": "cpu"} for part in OFFLOADED[number]} if settings.launch.offload else {}),
        },
        "train_micro_batch_size_per_gpu": settings.batch_size,
        "train_batch_size": settings.batch_size * settings.gradient_accumulation * world(settings),
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "gradient_clipping": "auto",
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # it would compile one of its own
        **({AUTOCAST: {"enabled": True, "dtype": "bfloat16"}} if halved else {}),
    }


def is_share(value: Any) -> bool:
    """Whether a process holds its share of this weight only, by ZeRO-3."""
    return hasattr(value, "ds_tensor")


@contextmanager
def gathered(value: Any) -> Iterator[Any]:
    """The whole weight, for a moment; all processes ask for it together."""
    zero = importlib.import_module("deepspeed").zero  # an extra; its import takes seconds
    with zero.GatheredParameters([value]):
        yield value.data


@contextmanager
def not_shared_yet(settings: Any, model: Any) -> Iterator[None]:
    """Have trl take the weights of `model` for whole ones, which they are until the training begins.

    Under ZeRO-3 it asks the weights of the head for their state, which DeepSpeed notes on them as it shares them out.
    """
    weights = [value for value in model.parameters() if not is_share(value)] if stage(settings) == 3 else []
    if weights:
        states = importlib.import_module("deepspeed.runtime.zero.partition_parameters").ZeroParamStatus
    for value in weights:
        value.ds_status = states.AVAILABLE
    try:
        yield
    finally:
        for value in weights:
            del value.ds_status
