"""A Llama in the form of Meta, torchtune or litgpt, read back by the same door as a base and compared with data/merged.

The form says less than config.json, so what is read back has to be the same tensors, bit by bit, and the same sizes:
then it computes the same logits.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import CheckFailed, ModelError
from tasks.core.files import write_json, write_text
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.export.settings import Settings
from tasks.models.llama import FORMS
from tasks.models.llama.names import Config, names, outward
from tasks.models.llama.pickled import Pickled
from tasks.models.llama.sizes import model_config, params, unsupported
from tasks.models.shards import StoredTensor, stored_tensors

BESIDE = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "generation_config.json",
)  # fmt: skip
"""Files of data/merged that go along, so that the folder is a whole model."""


def write_meta(settings: Settings, paths: Paths, out: Path) -> dict[str, Any]:
    """consolidated.00.pth and params.json."""
    return _write("meta", paths.merged, out)


def write_torchtune(settings: Settings, paths: Paths, out: Path) -> dict[str, Any]:
    """torchtune_model_0.pt, and Meta's params.json."""
    return _write("torchtune", paths.merged, out)


def write_litgpt(settings: Settings, paths: Paths, out: Path) -> dict[str, Any]:
    """lit_model.pth and model_config.yaml."""
    return _write("litgpt", paths.merged, out)


def _write(form: str, merged: Path, out: Path) -> dict[str, Any]:
    """Write the model; return how many tensors were read back and found equal."""
    config: Config = json.loads((merged / "config.json").read_text())
    if reason := unsupported(config, form):
        raise ModelError(f"export {form}: {reason}; remove {form} from export.formats.")
    source = stored_tensors(merged)
    if surplus := sorted(set(source) - set(names(config))):
        raise ModelError(
            f"export {form}: the model has tensors that this format does not support, such as {surplus[0]}; remove "
            f"{form} from export.formats."
        )
    weights, sizes = FORMS[form]
    report = reporter(f"export {form}", 3, "steps")
    report(0)
    tensors = dict(outward(form, config, lambda name: _locate(source, name).read()))  # none has tied weights
    report(1)
    torch.save(tensors, out / weights.replace("*", "00" if form == "meta" else "0"))
    del tensors
    report(2)
    if form == "litgpt":
        write_text(out / sizes, "".join(f"{key}: {_yaml(value)}\n" for key, value in model_config(config).items()))
    else:
        write_json(out / sizes, params(config))
    for name in BESIDE:
        if (merged / name).is_file():
            shutil.copyfile(merged / name, out / name)
    equal = _compare(form, config, source, out)
    report(3)
    return {"tensors": equal, "read_back": "equal"}


def _yaml(value: Any) -> str:
    """A value on one line; litgpt's reader takes 1e-06 for a word, and 1.0e-06 for a number."""
    text = json.dumps(value)
    return text.replace("e", ".0e", 1) if isinstance(value, float) and "e" in text and "." not in text else text


def _locate(tensors: dict[str, StoredTensor], name: str) -> StoredTensor:
    return tensors.get(name) or tensors["model.embed_tokens.weight"]


def _compare(form: str, config: Config, source: dict[str, StoredTensor], out: Path) -> int:
    """Read the folder as a base is read. Raises `CheckFailed` where a size or a tensor is not that of data/merged."""
    reloaded = Pickled(out, form, f"export {form}")
    rope = {"rope_type": "default", "rope_theta": 10000.0, **(config.get("rope_parameters") or {})}
    before = {**config, "rope_parameters": rope}
    free = ("max_position_embeddings", "tie_word_embeddings")  # no form of Meta's says them; they change no logit
    if changed := sorted(key for key, value in reloaded.config.items() if key not in free and before.get(key) != value):
        raise CheckFailed(
            f"export {form}: read back, {changed[0]} is {reloaded.config[changed[0]]!r}, not "
            f"{before.get(changed[0])!r}: it would compute something else; remove {form} from export.formats."
        )
    for name in names(config):
        if not torch.equal(reloaded.read(name), _locate(source, name).read()):
            raise CheckFailed(f"export {form}: read back, {name} differs from {PATHS.merged}; the disk may be faulty.")
    return len(names(config))
