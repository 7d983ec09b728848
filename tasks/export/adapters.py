"""Adapters side by side over one base, as vLLM and LoRAX serve them: base named once, a folder an adapter."""

import shutil
from pathlib import Path
from typing import Any

from tasks.chat.stops import GENERATION
from tasks.core.errors import InputError, ModelError
from tasks.core.files import write_json, write_text
from tasks.core.paths import Paths
from tasks.export.settings import Settings
from tasks.models.adapter_files import adapter_config
from tasks.models.record import base_record
from tasks.models.weight_files import ADAPTER


def write_adapters(settings: Settings, paths: Paths, out: Path) -> dict[str, Any]:
    """Copy data/trained and data/adapters/*; name the base, the largest rank and the command that serves them.

    An adapter has no generation settings, so those of data/merged go along, with every token at which turns end.
    """
    record = base_record(paths)
    folders = {"trained": paths.trained, **{folder.name: folder for folder in sorted(paths.adapters.glob("*/"))}}
    ranks = {}
    for name, folder in folders.items():
        ranks[name] = _rank(folder)
        (out / name).mkdir()
        for file in ADAPTER:
            shutil.copyfile(folder / file, out / name / file)
        config = {**adapter_config(folder), "base_model_name_or_path": record["location"]}
        write_json(out / name / ADAPTER[0], config)
    tokenizer = paths.tokenizer
    shutil.copytree(tokenizer, out / "tokenizer")
    for name in (*ranks, "tokenizer"):
        shutil.copyfile(paths.merged / GENERATION, out / name / GENERATION)
    modules = " ".join(f"{name}={name}" for name in ranks)
    write_text(
        out / "serve.sh",
        "#!/bin/sh\n# The base's folder or hub name as the first argument.\n"
        f'exec vllm serve "$1" --tokenizer tokenizer --generation-config tokenizer --enable-lora '
        f"--max-lora-rank {max(ranks.values())} --lora-modules {modules}\n",
    )
    return {"base": record["location"], "base_sha256": record["sha256"], "adapters": ranks}


def _rank(folder: Path) -> int:
    try:
        config = adapter_config(folder)
    except InputError:
        raise ModelError(
            f"export adapters: {folder} contains no adapter; remove adapters from export.formats."
        ) from None
    if config["peft_type"] != "LORA" or config.get("modules_to_save"):
        raise ModelError(
            f"export adapters: {folder} is of the kind "
            f"{config['peft_type']}{' with modules saved in full' if config.get('modules_to_save') else ''}; servers "
            "load plain LoRA only."
        )
    return int(max(config.get("r") or 0, *(config.get("rank_pattern") or {}).values(), 0))
