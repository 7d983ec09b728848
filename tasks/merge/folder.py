"""What stands beside the weights of a model folder: configuration, generation settings, tokenizer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.chat.stops import GENERATION, save_stop_ids, stop_ids
from tasks.core.errors import MachineError, ModelError
from tasks.core.files import write_json
from tasks.core.paths import PATHS
from tasks.models.foreign import CONFIG, foreign, read_config

ENVIRONMENT_KEYS = ("_name_or_path", "transformers_version")
"""Keys of config.json that say where and by what it was written, not what the model is."""


def save_beside(model: Any, folder: Path, tokenizer: Any, dtype: torch.dtype, out: Path) -> None:
    """Write into `out` what `model`, whose generation settings lie in `folder`, needs to load and to stop.

    Generation stops at the eos of `tokenizer`; see `save_stops` for the other tokens at which it has to.
    """
    from transformers import GenerationConfig

    if (folder / "generation_config.json").is_file():
        with foreign(folder / "generation_config.json"):
            model.generation_config = GenerationConfig.from_pretrained(folder)
    for config in (model.config, model.generation_config):
        config.eos_token_id = tokenizer.eos_token_id
        config.bos_token_id = tokenizer.bos_token_id
        config.pad_token_id = tokenizer.pad_token_id
    model.config.dtype = dtype
    model.config.architectures = [type(model).__name__]
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    for config in (model.config, model.generation_config):  # both refuse to write what makes no sense
        with foreign(folder / (CONFIG if config is model.config else "generation_config.json")):
            config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for name in ("config.json", "generation_config.json"):
        values = json.loads((out / name).read_text())
        write_json(out / name, {key: value for key, value in values.items() if key not in ENVIRONMENT_KEYS})


def save_reading(model: Any, tokenizer: Any, dtype: torch.dtype, out: Path) -> None:
    """Save `model`, which reads texts and writes none, all of it as `dtype`, with its tokenizer into `out`.

    The tokenizer fills up on the right: on the left, positions would begin with what fills up.
    """
    from safetensors import SafetensorError

    model = model.to(dtype)
    model.config.dtype = dtype
    try:
        model.save_pretrained(out)
    except SafetensorError as error:
        raise MachineError(f"{out.parent}: the model could not be written ({error}); free some space.") from None
    values = json.loads((out / CONFIG).read_text())
    write_json(out / CONFIG, {key: value for key, value in values.items() if key not in ENVIRONMENT_KEYS})
    tokenizer.padding_side = "right"
    tokenizer.save_pretrained(out)


def save_stops(out: Path, folders: Sequence[Path], tokenizer: Any) -> set[int]:
    """Have the model in `out` stop at every token at which one of `folders` does: the base's, and training's own.

    Returns their ids. A server that knows one of several runs on behind the others, such as the end of a call.
    """
    ids = set().union(*(stop_ids(folder, tokenizer) for folder in folders))
    for name in ("config.json", GENERATION):
        save_stop_ids(out / name, ids, tokenizer)
    return ids


def stored_dtype(folder: Path) -> torch.dtype:
    """The type in which a model folder keeps its weights."""
    config = read_config(folder)
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    dtype = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ModelError(f"{folder / CONFIG}: dtype = {name!r} is not a data type for weights; restore the file.")
    return dtype


def check_tokenizer(tokenizer: Any, rows: int) -> None:
    """Raise `ModelError` where the tokenizer has more tokens than the model has `rows` of embeddings, or no eos."""
    if len(tokenizer) > rows:
        raise ModelError(
            f"{PATHS.tokenizer} has {len(tokenizer)} tokens, but the model has embeddings for {rows}; choose a chat "
            "template without the additional tokens, or train them (with an adapter that saves its embeddings)."
        )
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{PATHS.tokenizer}: no eos token, so generation would never stop; set eos_token in it.")
