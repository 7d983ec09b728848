"""Checkpoints of DeepSpeed for another number of processes, by its own universal form (Lian 2024, arXiv:2406.18820).

DeepSpeed writes what each process holds, and reads it with as many processes only. Its converter joins the shares to
whole tensors, one file each, beside them; each process then takes its new share of those.
"""

import argparse
import contextlib
import importlib
import io
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from tasks.training import zero

SHARES = "*zero_pp_rank_*_optim_states.pt"
"""Files of a checkpoint, one for each process that wrote it."""

LATEST, LATEST_UNIVERSAL = "latest", "latest_universal"
"""Files beside the folder of DeepSpeed that name it, and the one of the universal form."""

KINDS = ("universal", "filled")
"""Ends of the names of the folders that the conversion makes: its result, and shares with what it asks for besides."""

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's states, which the converter asks every optimiser for."""


def written_by(checkpoint: Path) -> int:
    """How many processes wrote the `checkpoint` by DeepSpeed; 0 where it is of another kind."""
    if not (checkpoint / LATEST).is_file():
        return 0
    return len(list((checkpoint / (checkpoint / LATEST).read_text().strip()).glob(SHARES)))


def is_needed(settings: Any, checkpoint: Path, processes: int) -> bool:
    """Whether `checkpoint` has shares for another number of processes than the run by `settings` has."""
    return zero.stage(settings) is not None and written_by(checkpoint) != processes


def convert(checkpoint: Path) -> None:
    """Write the universal form of `checkpoint` into it; the first process does that, with one share in memory."""
    forget(checkpoint)
    tag = (checkpoint / LATEST).read_text().strip()
    source = Path(os.path.relpath(checkpoint / tag))  # the converter takes the whole path for a pattern
    target, filled = (source.with_name(f"{tag}_{kind}") for kind in KINDS)
    options = argparse.Namespace(
        input_folder=str(filled if _fill(source, filled) else source),
        output_folder=str(target),
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        importlib.import_module("deepspeed.checkpoint.ds_to_universal").main(options)
    common = target / "zero" / "optimizer_state.pt"
    states = torch.load(common, weights_only=False)  # of DeepSpeed's own classes; the manifest vouches for it
    if "optimizer_state_dict" in states:  # ZeRO-3 gives every group of weights what the first has: another decay
        for group in states["optimizer_state_dict"]["param_groups"]:
            group.pop("weight_decay")
        torch.save(states, common)


def _fill(source: Path, target: Path) -> bool:
    """Write `target`, the shares in `source` with moments of zero, where the optimiser has none; whether it did.

    SGD keeps nothing, and the converter wants Adam's moments.
    """
    target.mkdir()
    for file in sorted(source.iterdir()):
        if not file.match(SHARES):
            os.link(file, target / file.name)
            continue
        shares = torch.load(file, weights_only=False)
        states = shares["optimizer_state_dict"]
        weights = states.get("single_partition_of_fp32_groups") or states["fp32_flat_groups"]
        kept = (states.get("base_optimizer_state") or states["optimizer_state_dict"])["state"]
        if all(name in kept.get(number, {}) for number in range(len(weights)) for name in MOMENTS):
            return False
        for number, weight in enumerate(weights):
            kept[number] = {"step": torch.tensor(0.0), **dict.fromkeys(MOMENTS, torch.zeros_like(weight))}
        torch.save(shares, target / file.name)
    return True


def choose(trainer: Any) -> None:
    """Have DeepSpeed read the universal form as `trainer` goes on."""
    trainer.accelerator.state.deepspeed_plugin.deepspeed_config["checkpoint"] = {"load_universal": True}


def is_chosen(trainer: Any) -> bool:
    """Whether DeepSpeed has read the universal form."""
    return trainer.is_deepspeed_enabled and "checkpoint" in trainer.accelerator.state.deepspeed_plugin.deepspeed_config


def forget(checkpoint: Path) -> None:
    """Remove the universal form of `checkpoint`, where there is one; it takes as much room as the shares."""
    (checkpoint / LATEST_UNIVERSAL).unlink(missing_ok=True)
    for folder in (folder for kind in KINDS for folder in checkpoint.glob(f"*_{kind}")):
        shutil.rmtree(folder)
