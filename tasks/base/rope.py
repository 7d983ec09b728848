"""A base for longer rows: the same weights, whose rotary positions are stretched by a factor."""

import json
import shutil
from pathlib import Path
from typing import Any

from tasks.base.settings import Rope
from tasks.core.errors import CheckFailed, ModelError
from tasks.core.files import write_json, written
from tasks.core.numbers import shown
from tasks.core.paths import Paths
from tasks.models.record import base_folder, base_record, describe, identity
from tasks.models.text_config import PARTS

LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
"""Those of Llama 3.1, whose way of stretching it is."""


def stretch(rope: Rope, paths: Paths) -> None:
    """Put into data/base a copy of the recorded model with `rope` in its config.json; raises as `stretched` does."""
    source, record = base_folder(paths), base_record(paths)
    config, original, length = stretched(rope, source)
    settings = json.loads((paths.base / "settings.json").read_text())
    with written(paths.base) as out:
        folder = out / "model"
        folder.mkdir(parents=True)
        for name in record["files"]:
            shutil.copyfile(source / name, folder / name)
        write_json(folder / "config.json", config)
        _lengthen_tokenizer(folder / "tokenizer_config.json", original, length)
        _check(folder, rope, length)
        files = describe(folder)
        scaled = {
            "kind": "scaled", "from": record.get("from", record["location"]), "location": "model",
            "revision": record["revision"], "files": files, "sha256": identity(files),
            "rope": {**rope.model_dump(mode="json"), "original": original, "length": length},
        }  # fmt: skip
        write_json(out / "base.json", scaled)
        write_json(out / "settings.json", settings)
    print(f"base: {rope.type} by {shown(rope.factor)}: {original:,} to {length:,} tokens", flush=True)


def stretched(rope: Rope, folder: Path) -> tuple[dict[str, Any], int, int]:
    """config.json of the model in `folder` with `rope`, and its context in tokens before and after.

    Raises `ModelError` where the model has no rotary positions that could be stretched.
    """
    from transformers import AutoConfig

    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    text = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    values = getattr(text, "rope_parameters", None)
    original = getattr(text, "max_position_embeddings", None)
    why = None
    if not values or not original:
        why = "it has no rotary positions"
    elif "rope_theta" not in values:
        why = "its types of layers use different rotary positions"
    elif "mrope_section" in values:
        why = "its rotary positions also cover images"
    elif values.get("rope_type", "default") != "default":
        why = f"its rotary positions are already scaled ({values['rope_type']})"
    if why or not values or not original:
        raise ModelError(f"base.rope does not fit the base: {why}; set base.rope to null.")
    length = round(original * rope.factor)
    scaling: dict[str, Any] = {**values, "rope_type": rope.type, "factor": rope.factor}
    if rope.type != "linear":
        scaling["original_max_position_embeddings"] = original
    if rope.type == "llama3":
        scaling |= LLAMA3
    part = _text_part(config)
    for old in ("rope_scaling", "rope_theta"):
        part.pop(old, None)
    part |= {"rope_parameters": scaling, "max_position_embeddings": length}
    return config, original, length


def _text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The part of `config` that describes its language model, not a copy."""
    for name in PARTS:
        if isinstance(part := config.get(name), dict):
            return _text_part(part)
    return config


def _lengthen_tokenizer(file: Path, original: int, length: int) -> None:
    """Have the tokenizer allow what the base now takes, where it stopped at what the base took."""
    if not file.is_file():
        return
    values = json.loads(file.read_text())
    if isinstance(values.get("model_max_length"), int) and original <= values["model_max_length"] < length:
        write_json(file, {**values, "model_max_length": length})


def _check(folder: Path, rope: Rope, length: int) -> None:
    """Raise `CheckFailed` where transformers does not read back what was written."""
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    values = text.rope_parameters
    if (values.get("rope_type"), values.get("factor"), text.max_position_embeddings) != (
        rope.type,
        rope.factor,
        length,
    ):
        raise CheckFailed("base.rope: transformers ignores scaling for this kind of model; set it to null.")
