"""The stage `train`: load the base, tune it, save a whitelist of files."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from tasks.contract.files import sha256, write_json, write_text, written
from tasks.contract.loading import grow
from tasks.contract.model import base_folder, base_record
from tasks.contract.paths import Paths
from tasks.train import checkpoints, rows
from tasks.train.settings import Settings
from tasks.train.trainer import fit, prepare


def tune(settings: Settings, paths: Paths) -> None:
    """Train and save `data/trained`; the checkpoints go when the result is complete."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    audit = json.loads((paths.templated / "audit.json").read_text())
    train = rows.load(paths.templated / "train.arrow")
    validation = rows.load(paths.templated / "validation.arrow")
    rows.check(rows.count(train), audit["splits"]["train"]["trained"], "train")
    prepare(settings)
    base = base_folder(paths)
    tokenizer = AutoTokenizer.from_pretrained(paths.templated / "tokenizer", trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )
    grown = grow(model, tokenizer)
    identity = {
        "settings": settings.model_dump(mode="json"),
        "base": base_record(paths)["sha256"],
        "rows": [sha256(paths.templated / f"{split}.arrow") for split in ("train", "validation")],
    }
    scratch = checkpoints.folder(paths.scratch(f"train-{checkpoints.key(identity)}"))
    result = fit(
        "train",
        model,
        tokenizer,
        train,
        settings,
        scratch,
        validation=validation if len(validation) else None,
        eval_steps=settings.eval_steps,
        adapter=_adapter(settings, model if grown else None) if settings.method == "lora" else None,
    )
    with written(paths.trained) as out:
        out.mkdir()
        save(result.model, out, base_record(paths)["location"])
        write_text(out / "loss.csv", result.curve)
        base_hash = base_record(paths)["sha256"]
        write_json(out / "training.json", {**result.facts, "method": settings.method, "base": base_hash})
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    shutil.rmtree(scratch)


def _adapter(settings: Settings, grown: Any) -> Any:
    """The adapter; with the embeddings of `grown`, a model with new tokens, whose rows nothing else trains or saves."""
    from peft import LoraConfig

    embeddings: dict[str, Any] = {}
    if grown is not None:
        layers = {id(layer): layer for layer in (grown.get_input_embeddings(), grown.get_output_embeddings())}
        names = [name.rsplit(".", 1)[-1] for name, layer in grown.named_modules() if id(layer) in layers]
        embeddings = {"modules_to_save": names, "ensure_weight_tying": bool(grown.config.tie_word_embeddings)}
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora.r,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=settings.lora.target_modules,
        **embeddings,
    )


def save(model: Any, out: Path, base: str) -> None:
    """Save an adapter or a whole model into the folder `out`, in bytes that depend on the weights only.

    `base` is what `base_model_name_or_path` of an adapter shall say. peft writes sets in hash order and a model card
    that holds versions; both are mended here.
    """
    # peft would add the embeddings a second time where they grew: they are among the modules that it saves
    model.save_pretrained(out, **({"save_embedding_layers": False} if hasattr(model, "peft_config") else {}))
    (out / "README.md").unlink(missing_ok=True)
    config = out / "adapter_config.json"
    if config.exists():
        values = json.loads(config.read_text())
        values["base_model_name_or_path"] = base
        for name in ("target_modules", "modules_to_save"):
            if isinstance(values.get(name), list):
                values[name] = sorted(values[name])
        write_json(config, values)
