"""Whether attention can be computed as the key `attention` says: by this machine, its packages and the base's class."""

from importlib.util import find_spec

from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import PATHS
from tasks.models.classes import auto_class
from tasks.models.skeleton import configured_base
from tasks.training.settings import Optimization
from tasks.training.tuning_settings import Tuning

PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
"""What a kernel needs to be installed, by its module."""

CAPABILITY = {"flash_attention_2": (8, 0), "flash_attention_3": (9, 0)}
"""The least compute capability of an NVIDIA card: Ampere, and Hopper."""


def check_attention(what: str, tuning: Tuning, settings: Optimization) -> None:
    """Raise `MachineError` where this machine cannot compute it, `SettingsError` where the base's class has no such.

    `what` is the section of params.yaml.
    """
    name = tuning.attention
    if name == "auto":
        return
    _check_machine(what, name, settings.dtype)
    if (configured := configured_base()) is None:
        return
    import torch
    from transformers import AutoConfig

    location, folder = configured
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError):  # said by the check of the base
        return
    try:
        with torch.device("meta"):
            auto_class(config).from_config(config, **tuning.attention_options)
    except (ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise SettingsError(
            f"{PATHS.params}: {what}.attention = {name}: {location} does not support it ({reason}); set it to auto."
        ) from None


def _check_machine(what: str, name: str, dtype: str) -> None:
    if name not in CAPABILITY:
        return
    import torch

    problem = None
    if not torch.cuda.is_available():
        problem = "it needs a GPU, and there is none"
    elif (here := torch.cuda.get_device_capability()) < CAPABILITY[name]:
        least = ".".join(map(str, CAPABILITY[name]))
        problem = f"it needs a GPU of compute capability {least}, but this one has {here[0]}.{here[1]}"
    elif find_spec(PACKAGES[name]) is None:
        problem = f"it needs the package {PACKAGES[name]}, which is not installed"
    elif dtype == "float32":
        problem = f"it computes only in 16 bits, but {what}.dtype is float32"
    if problem:
        raise MachineError(f"{PATHS.params}: {what}.attention = {name}: {problem}; set it to auto or sdpa.")
