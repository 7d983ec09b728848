"""Base and adapter to one model, compared with the live adapter before anything is written."""

import json
from pathlib import Path
from typing import Any

import torch

from tasks.contract.errors import CheckFailed, InputError, ModelError
from tasks.contract.files import write_json, written
from tasks.contract.loading import load_model
from tasks.contract.model import base_folder, base_record
from tasks.contract.paths import Paths
from tasks.merge import Settings
from tasks.merge.equivalence import compare, logits, probes

MACHINE = ("_name_or_path", "transformers_version")
"""Keys of config.json that say where and by what it was written, not what the model is."""


def merge(settings: Settings, paths: Paths) -> None:
    """Write `data/merged`; raise `CheckFailed` where the merged model is not the trained one."""
    from transformers import AutoTokenizer

    torch.set_num_threads(1)
    rows = probes(paths.templated, settings.probes)
    tokenizer = AutoTokenizer.from_pretrained(paths.templated / "tokenizer", trust_remote_code=False)
    stored = _stored_dtype(base_folder(paths))
    live, method = _live(paths)
    expected = logits(live, rows)
    merged = live.merge_and_unload(safe_merge=True) if method == "lora" else live
    _fits(merged, tokenizer)
    difference = compare(expected, logits(merged, rows), "data/merged")
    if difference.largest > settings.tolerance:
        raise CheckFailed(
            f"data/merged: the merged model differs from base and live adapter by up to {difference.largest:.3g} in a "
            f"logit, more than merge.tolerance = {settings.tolerance:g} allows; keep the adapter, or raise "
            "the tolerance."
        )
    merged = merged.to(stored)
    with written(paths.merged) as out:
        save(merged, tokenizer, out)
        _same_weights(merged, out)
        facts = {
            "method": method,
            "base": base_record(paths)["sha256"],
            "parameters": sum(weight.numel() for weight in merged.parameters()),
            "arithmetic": "float32",
            "dtype": str(stored).removeprefix("torch."),
            "tolerance": settings.tolerance,
            **difference.as_dict(),
        }
        write_json(out / "merge.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    print(f"merge: {facts['parameters']:,} parameters, largest logit difference {difference.largest:.2g}", flush=True)


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Save model and tokenizer into `out` so that generation stops where training taught it to stop."""
    for config in (model.config, model.generation_config):
        config.eos_token_id = tokenizer.eos_token_id
        config.bos_token_id = tokenizer.bos_token_id
        config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for name in ("config.json", "generation_config.json"):
        values = json.loads((out / name).read_text())
        write_json(out / name, {key: value for key, value in values.items() if key not in MACHINE})


def _live(paths: Paths) -> tuple[Any, str]:
    """The trained model in float32, and how it was trained: lora (base with its adapter attached) or full."""
    if not (paths.trained / "adapter_config.json").is_file():
        if not (paths.trained / "config.json").is_file():
            raise InputError(f"{paths.trained}: neither an adapter nor a model; run the stage train first.")
        return load_model(paths.trained, torch.float32), "full"

    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(load_model(base_folder(paths), torch.float32), paths.trained), "lora"
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{paths.trained}: the adapter does not fit the base in data/base: {reason}") from None


def _stored_dtype(folder: Path) -> torch.dtype:
    """The type in which the base keeps its weights; the merged model keeps it."""
    config = json.loads((folder / "config.json").read_text())
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _fits(model: Any, tokenizer: Any) -> None:
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ModelError(
            f"data/templated/tokenizer has {len(tokenizer)} tokens, but the model has embeddings for {rows}; "
            "tokens that the base does not know cannot be used: choose a template without them."
        )
    if tokenizer.eos_token_id is None:
        raise ModelError("data/templated/tokenizer: no eos token, so generation would never stop; set eos_token in it.")


def _same_weights(model: Any, out: Path) -> None:
    """Raise `CheckFailed` unless every tensor on disk is bit by bit the one in memory."""
    from safetensors import safe_open

    kept = model.state_dict()
    found = 0
    for file in sorted(out.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
                found += 1
                if name not in kept or not torch.equal(tensors.get_tensor(name), kept[name].cpu()):
                    raise CheckFailed(f"data/merged/{file.name}: the tensor {name} is not the one that was saved.")
    if found == 0:
        raise CheckFailed("data/merged: no tensor was saved.")
