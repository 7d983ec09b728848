"""A Llama in the form of Meta, torchtune or litgpt as a model folder of transformers, tensor by tensor."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tasks.base.ready import check
from tasks.base.settings import Settings
from tasks.core.errors import ModelError
from tasks.core.files import write_json, written
from tasks.core.numbers import counted
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.models.llama.names import shape
from tasks.models.llama.pickled import Pickled
from tasks.models.loading import load_tokenizer
from tasks.models.record import describe, identity
from tasks.models.writing import PlannedTensor, write

SHARD = 4 * 2**30
"""Bytes of a file of weights, about."""


def convert(settings: Settings, paths: Paths, form: str) -> None:
    """Write `data/base` from the model in `settings.folder`, which has the form `form`."""
    folder = paths.root / settings.folder
    check(folder, settings.folder)
    model = Pickled(folder, form, settings.folder)
    tokenizer = _tokenizer(folder, settings.folder, model.config["vocab_size"])
    with written(paths.base) as out:
        _save(model, tokenizer, folder, out / "model")
        files = describe(out / "model")
        digest = identity(files)
        record = {
            "kind": "converted", "form": form, "from": settings.folder, "location": "model", "revision": None,
            "files": files, "sha256": digest,
        }  # fmt: skip
        write_json(out / "base.json", record)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    print(f"base: {settings.folder}, {form}, {counted(len(model.names), 'tensors')}, sha256 {digest[:16]}", flush=True)


def _save(model: Pickled, tokenizer: Any, folder: Path, out: Path) -> None:
    from transformers import GenerationConfig, LlamaConfig

    config = LlamaConfig(
        **model.config, dtype=model.dtype, architectures=["LlamaForCausalLM"], bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    tokenizer.save_pretrained(out)
    config.save_pretrained(out)
    generation = GenerationConfig.from_pretrained(folder) if (folder / "generation_config.json").is_file() else None
    (generation or GenerationConfig.from_model_config(config)).save_pretrained(out)
    for name in ("config.json", "generation_config.json"):
        values = json.loads((out / name).read_text())
        values.pop("transformers_version", None)
        write_json(out / name, values)
    planned = {
        name: PlannedTensor(model.dtype, shape(name, model.config), partial(_as, model, name)) for name in model.names
    }
    total = sum(tensor.size for tensor in planned.values())
    write(out, _files(planned), reporter("base", total, "bytes"))


def _as(model: Pickled, name: str) -> torch.Tensor:
    return model.read(name).to(model.dtype)


def _files(planned: dict[str, PlannedTensor]) -> dict[str, dict[str, PlannedTensor]]:
    """The tensors in files of about `SHARD` bytes, named as transformers names them."""
    parts: list[dict[str, PlannedTensor]] = [{}]
    for name, tensor in planned.items():
        if parts[-1] and sum(other.size for other in parts[-1].values()) + tensor.size > SHARD:
            parts.append({})
        parts[-1][name] = tensor
    if len(parts) == 1:
        return {"model.safetensors": planned}
    return {f"model-{number:05}-of-{len(parts):05}.safetensors": part for number, part in enumerate(parts, 1)}


def _tokenizer(folder: Path, location: str, rows: int) -> Any:
    """The tokenizer beside the weights. Raises `ModelError` where it cannot be read, or has more tokens than `rows`."""
    try:
        tokenizer = load_tokenizer(folder)
    except ModelError as error:
        raise ModelError(
            f"{location}: the tokenizer there cannot be read ({' '.join(str(error).split())[:200]}); put the "
            "tokenizer.json of the model there."
        ) from None
    if len(tokenizer) > rows:
        raise ModelError(
            f"{location}: the tokenizer has {len(tokenizer)} tokens, but the weights have embeddings for {rows}; put "
            "the model's own tokenizer there."
        )
    return tokenizer
