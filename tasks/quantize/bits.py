"""nf4, fp4 and int8 by bitsandbytes: a Hugging Face folder whose config.json says how it is quantised."""

import json
from pathlib import Path
from typing import Any

import torch

from tasks.core.files import write_json
from tasks.models.classes import from_pretrained, is_classifier, model_config
from tasks.models.embedder import POOLER, Embedder, is_embedder
from tasks.models.head import LAYER
from tasks.models.loading import bits_and_bytes, keep_packing
from tasks.quantize.schemes import Calibration


def write(kind: str, merged: Path, out: Path, calibration: Calibration) -> None:
    """Load `merged` quantised by `kind` (nf4, fp4 or int8) and save it into `out`, tokenizer included."""
    stored = json.loads((merged / "config.json").read_text())["dtype"]
    whole = [LAYER] if is_classifier(model_config(merged)) else None
    if is_embedder(merged):  # transformers would leave the last layer as it is, for a head that is not there
        whole = [POOLER.rstrip(".")]
    how = bits_and_bytes(kind, getattr(torch, stored), whole=whole)
    model = from_pretrained(merged, quantization_config=how)
    keep_packing(model)
    save_folder(model, merged, out)


def save_folder(model: Any, merged: Path, out: Path, **options: Any) -> None:
    """Save a quantised model into `out` with the tokenizer of `merged`, in bytes that depend on the model only; an
    embedding model with the files by which sentence-transformers knows it."""
    from transformers import AutoTokenizer

    model.save_pretrained(out, **options)
    AutoTokenizer.from_pretrained(merged, trust_remote_code=False).save_pretrained(out)
    if is_embedder(merged):
        Embedder.of(merged).save(out, model.config.hidden_size)
    for name in ("config.json", "generation_config.json"):
        if not (out / name).is_file():  # a classifier generates nothing
            continue
        values = json.loads((out / name).read_text())
        write_json(out / name, {key: value for key, value in values.items() if key != "transformers_version"})
    for file in out.glob("*.safetensors"):
        _sort_metadata(file)


def _sort_metadata(file: Path) -> None:
    """safetensors writes the entries of its metadata in an order that changes; in place, as the length is the same."""
    with file.open("r+b") as target:
        length = int.from_bytes(target.read(8), "little")
        header = json.loads(target.read(length))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:
            target.seek(8)
            target.write(text.ljust(length))
