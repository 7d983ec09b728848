"""Whether llama.cpp converts the base, asked before a run where something of it shall become a GGUF file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import ModelError

if TYPE_CHECKING:
    from flows.params.model import Params


def faults(params: "Params") -> Iterator[str]:
    """A sentence where the base is here, and `quantize` or `export` would refuse its architecture."""
    from tasks.models.gguf.converter import check
    from tasks.models.gguf.limits import text_config

    wanted = [name for name in params.quantize.schemes if name.startswith("gguf-")]
    wanted += [name for name in params.export.formats if name == "ollama"]
    file = _config(params) if wanted else None
    if file is None:
        return
    advice = f"remove {', '.join(wanted)} from quantize.schemes and export.formats"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return  # the stage base refuses it
    if not text_config(config)["architectures"]:
        return  # transformers goes by the model type, and the merged model names its architecture
    try:
        check(config, params.base.hub or params.base.folder, advice)
    except ModelError as error:
        yield str(error)


def _config(params: "Params") -> Path | None:
    """config.json of the base in its folder or in the hub's cache; None where it is not here, or not transformers'."""
    from huggingface_hub import try_to_load_from_cache

    from tasks.base.ready import form

    folder = Path(params.base.folder)
    if params.base.hub:
        name, _, revision = params.base.hub.partition("@")
        cached = try_to_load_from_cache(name, "config.json", revision=revision or None)
        return Path(cached) if isinstance(cached, str) else None
    return folder / "config.json" if (folder / "config.json").is_file() and not form(folder) else None
