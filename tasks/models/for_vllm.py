"""What vLLM needs of a machine, and what of a model it cannot load: said before a run, whichever stage asks it.

What it loads is what `vllm.lora.peft_helper` and `vllm.config.lora` of version 0.32 accept.
"""

import importlib.metadata
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.core.paths import Paths
from tasks.core.settings import read

OLDEST = "0.22.0"
"""The oldest version whose interface is used."""

GPU = "gpu"
"""The queue that stages with a card go to, where it is among those of infra/stages.yaml."""

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks for which vLLM can reserve room (`vllm.config.lora.MaxLoRARanks`)."""

UNMERGED = ("use_dora", "lora_bias", "target_parameters")
"""Fields of LoRA with which a weight is more than the base's and the product of the two factors."""

UNLOADED = (
    *UNMERGED, "modules_to_save", "trainable_token_indices", "layer_replication", "alora_invocation_tokens",
    "use_qalora", "use_bdlora",
)  # fmt: skip
"""Fields of LoRA that vLLM refuses or does not read."""

STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Ways to start LoRA that leave the base as it is, by `init_lora_weights`."""


def machine_problems(key: str, other: str, newest: str | None = None, library: str = "temper") -> Iterator[str]:
    """A sentence for each thing that keeps vLLM from running here.

    `key`: the setting that chose it; `other`: what to set it to instead; `newest`: the last version that `library`
    supports, None where it supports any.
    """
    versions = f">={OLDEST}" + (f",<={newest}" if newest else "")
    if find_spec("vllm") is None:
        yield f"{key} is vllm, which is not installed here; run: pip install 'vllm{versions}', or set it to {other}."
    installed = version()
    if not numbers(OLDEST) <= numbers(installed) or (newest and numbers(installed) > numbers(newest)):
        which = f"a version from {OLDEST} to {newest}" if newest else f"version {OLDEST} or newer"
        yield (
            f"{key} is vllm, but the installed {library} does not support vLLM {installed}; install {which}, or set it "
            f"to {other}."
        )
    import torch

    if not torch.cuda.is_available():
        yield f"{key} is vllm, which needs a GPU, and this machine has none; set it to {other}."


def version() -> str:
    """The installed version of vLLM, or `unknown`."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def numbers(release: str) -> tuple[int, ...]:
    """The numbers of a release, to be compared; what follows them, such as +cu129, does not count."""
    return tuple(int(part) for part in re.findall(r"\d+", release)[:3])


def elsewhere(paths: Paths, stage: str) -> bool:
    """Whether infra/stages.yaml sends the stage to workers with a card of their own, which are not asked beforehand."""
    if not paths.policies.is_file():
        return False
    policies = read(paths.policies, "safe") or {}
    queue = ((policies.get("stages") or {}).get(stage) or {}).get("queue")
    return bool(queue) or GPU in (policies.get("queues") or [])


def vocabularies(model: Any, folder: Path) -> tuple[int, int]:
    """Tokens that `model` has embeddings for, and those of its files in `folder`, which are all that vLLM sees."""
    from tasks.models.classes import model_config

    stored = int(model_config(folder).get_text_config().vocab_size)
    return int(model.get_input_embeddings().num_embeddings), stored


def adapter_problem(config: dict[str, Any]) -> str:
    """Why vLLM cannot load the adapter with this configuration beside its base; "" where it can."""
    if config["peft_type"] != "LORA":
        return f"it is an adapter of the kind {config['peft_type']}"
    if named := next((name for name in UNLOADED if config.get(name)), None):
        return f"it has {named}"
    if isinstance(start := config.get("init_lora_weights"), str) and start.lower() not in STARTS:
        return f"it has init_lora_weights: {start}"
    if (bias := config.get("bias") or "none") != "none":
        return f"it has bias: {bias}"
    largest = _largest_rank(config)
    return f"its rank is {largest}, above {RANKS[-1]}" if largest > RANKS[-1] else ""


def reserved_rank(config: dict[str, Any]) -> int:
    """The rank to reserve room for, for an adapter with this configuration."""
    return next(rank for rank in RANKS if rank >= _largest_rank(config))


def adapted_modules(folder: Path) -> list[str]:
    """Names of the layers that the adapter in `folder` has weights for, such as q_proj, without what is above them."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        return sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in file.keys()})  # noqa: SIM118  no dict


def _largest_rank(config: dict[str, Any]) -> int:
    return max(int(rank) for rank in (config.get("r") or 0, *(config.get("rank_pattern") or {}).values()))
