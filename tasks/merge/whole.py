"""Merging by peft with the whole base in memory: for adapters that need all of it, and bases stored in another form."""

import warnings
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import MachineError, ModelError
from tasks.core.paths import PATHS
from tasks.merge.folder import save_beside
from tasks.merge.modules import fitting
from tasks.models.classes import from_pretrained
from tasks.models.foreign import check_complete, check_sizes
from tasks.models.shards import stored_tensors


def load_whole(folder: Path) -> Any:
    """The model in `folder`, in float32. Raises `ModelError` where a weight is missing and would be made up."""
    check_sizes(folder, stored_tensors(folder))
    model, report = from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    check_complete(folder, sorted(report["missing_keys"]))
    return model.eval()


def with_adapter(model: Any, folder: Path) -> Any:
    """`model` with the adapter in `folder` on it. Raises `ModelError` where it does not fit, whole or in part."""
    from peft import PeftModel

    vocabulary = model.get_input_embeddings().weight.shape[0]
    with fitting(folder), warnings.catch_warnings(action="ignore"):  # of what is checked below, as an error
        tuned = PeftModel.from_pretrained(model, folder)
        missing = tuned.load_adapter(folder, "default").missing_keys
    if missing:
        raise ModelError(
            f"{folder}: the adapter does not fit the base in {PATHS.base} ({vocabulary} rows of embeddings): "
            f"{len(missing)} of its tensors are missing, such as {missing[0]}; restore the files of both, or train "
            "again."
        )
    return tuned.eval()


def merge_whole(tuned: Any) -> Any:
    """The model of `tuned` with its adapter merged in, by peft."""
    try:
        with warnings.catch_warnings(action="ignore"):  # that weights are no longer tied: config.json says so
            return tuned.merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"{PATHS.fitted}: the adapter cannot be merged: {' '.join(str(error).split())[:300]} Use it as an "
            "adapter, which peft loads."
        ) from None


def save_whole(model: Any, folder: Path, tokenizer: Any, dtype: torch.dtype, out: Path) -> None:
    """Save `model` as `dtype` into `out`; its generation settings lie in `folder`."""
    from safetensors import SafetensorError

    model = model.to(dtype)
    try:
        model.save_pretrained(out)
    except SafetensorError as error:
        raise MachineError(f"{out.parent}: the model could not be written ({error}); free some space.") from None
    save_beside(model, folder, tokenizer, dtype, out)
