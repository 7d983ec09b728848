"""What is known of an adapter before anything is loaded: its kind, whether it can be merged and how, and its base."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import ModelError
from tasks.core.paths import PATHS
from tasks.models.adapter_files import adapter_config, check_ranks, training_record
from tasks.models.shards import StoredTensor, stored_tensors

NO_WEIGHTS = "it changes none of the model's weights: it adds to its input, or runs beside its layers"

UNMERGEABLE = {
    **dict.fromkeys(
        ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE",
         "ADAPTION_PROMPT"), NO_WEIGHTS,
    ),
    "POLY": "the parts that it uses depend on each row's task",
    "XLORA": "the parts that it uses depend on each token",
    "LILY": "its parts are shared between layers and mixed per token",
    "SHADOW": "it is a separate network beside the base",
}  # fmt: skip
"""Kinds of peft that no single set of weights can stand for, and why."""

FROM_BASE = {"pissa", "pissa_niter", "olora", "corda", "loftq", "lora_ga"}
"""Ways to start LoRA that change the base itself, from its own weights: peft has to see all of it."""

FACTORS = (".lora_A.", ".lora_B.", ".lora_embedding_A", ".lora_embedding_B", ".lora_magnitude_vector")
"""Parts of the names of the tensors that LoRA trains; other kinds also save whole numbers, such as indices."""

WHOLE = {
    "OSF": "it decomposes the base's weights",
    "PSOFT": "it decomposes the base's weights",
    "ADAMSS": "it decomposes the base's weights",
    "FROD": "it decomposes the weights of all layers together",
}
"""Kinds that can be merged, but only by peft with the whole base in memory, and why."""


@dataclass(frozen=True)
class Adapter:
    """An adapter that can be merged."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, StoredTensor]

    @property
    def kind(self) -> str:
        """Its name in peft, in small letters."""
        return str(self.config["peft_type"]).lower()

    @property
    def whole(self) -> str | None:
        """Why it has to be merged by peft with the whole base in memory; None where a layer at a time will do."""
        start = self.config.get("init_lora_weights")
        if isinstance(start, str) and start.split("_niter")[0] in FROM_BASE:
            return f"init_lora_weights: {start} changes the base's own weights"
        return WHOLE.get(str(self.config["peft_type"]))

    def vocabulary(self, embedding: str) -> int | None:
        """Rows of the embeddings that the adapter brings along, such as for new tokens; None where it brings none."""
        rows = [
            tensor.shape[0]
            for name, tensor in self.tensors.items()
            if name.removesuffix(".weight").removesuffix(".modules_to_save").endswith(f".{embedding}")
        ]
        return rows[0] if rows else None


def read(folder: Path, base: dict[str, Any]) -> Adapter:
    """The adapter in `folder`, found fit to be merged into the base that `base` (base.json) describes.

    Raises `ModelError` where it cannot be merged, was trained on another base, or holds numbers that are not finite.
    """
    config = adapter_config(folder)
    kind = str(config["peft_type"])
    if reason := _unmergeable(kind, config):
        raise ModelError(
            f"{folder}: an adapter of the kind {kind} cannot be merged, because {reason}; use it as an adapter, "
            "which peft loads."
        )
    adapter = Adapter(folder, config, stored_tensors(folder))
    check_ranks(folder, config, max((side for tensor in adapter.tensors.values() for side in tensor.shape), default=0))
    _same_base(adapter, base)
    for name, tensor in adapter.tensors.items():
        if not tensor.dtype.is_floating_point and any(part in name for part in FACTORS):
            raise ModelError(
                f"{folder}: the tensor {name} has the type {str(tensor.dtype).removeprefix('torch.')}, but LoRA "
                "weights are floating-point numbers; restore the files of the adapter."
            )
        if tensor.dtype.is_floating_point and not torch.isfinite(tensor.read()).all():
            raise ModelError(
                f"{folder}: the tensor {name} contains NaN or infinite values, so training went wrong; check its "
                "loss, lower train.learning_rate, and train again."
            )
    return adapter


def _unmergeable(kind: str, config: dict[str, Any]) -> str | None:
    if config.get("alora_invocation_tokens"):
        return "it works only after its invocation tokens (aLoRA)"
    if config.get("arrow_config"):
        return "the parts that it uses depend on each token (Arrow)"
    if config.get("layer_replication"):
        return "it uses layers of the base several times (layer_replication), which a folder of weights cannot express"
    return UNMERGEABLE.get(kind)


def _same_base(adapter: Adapter, base: dict[str, Any]) -> None:
    if (known := training_record(adapter.folder).base) and known != base["sha256"]:
        raise ModelError(
            f"{adapter.folder}: the adapter was trained on a base with the hash {known[:12]}, but {PATHS.base} has "
            f"{base['sha256'][:12]}; restore the base that it was trained on, or train again."
        )
    asked, there = adapter.config.get("revision"), base.get("revision")
    same_model = adapter.config.get("base_model_name_or_path") == base["location"]
    if asked and there and same_model and asked != there:
        raise ModelError(
            f"{adapter.folder}: the adapter asks for revision {asked} of {base['location']}, but {PATHS.base} is "
            f"revision {there}; set base.hub to {base['location']}@{asked}, or train again."
        )
