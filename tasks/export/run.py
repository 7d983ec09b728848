"""One format from data/merged to data/exported/FORMAT."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError
from tasks.core.files import write_json, written
from tasks.core.paths import Paths
from tasks.export.adapters import write_adapters
from tasks.export.cog import write_cog
from tasks.export.llama import write_litgpt, write_meta, write_torchtune
from tasks.export.ollama import write_ollama
from tasks.export.settings import Settings

WRITERS: dict[str, Callable[[Settings, Paths, Path], dict[str, Any]]] = {
    "ollama": write_ollama,
    "adapters": write_adapters,
    "meta": write_meta,
    "torchtune": write_torchtune,
    "litgpt": write_litgpt,
    "cog": write_cog,
}


def export(settings: Settings, paths: Paths, name: str) -> None:
    """Write the format `name`, with what was proved of it in `export.json`.

    export(Settings(formats=["ollama"]), Paths(), "ollama")
    """
    if not (paths.merged / "config.json").is_file():
        raise InputError(f"{paths.merged}: no model; run the stage merge first.")
    with written(paths.exported(name)) as out:
        out.mkdir()
        facts = WRITERS[name](settings, paths, out)
        write_json(out / "export.json", {"format": name, **facts})
    print(f"export {name}: {', '.join(f'{key} {value}' for key, value in facts.items())}", flush=True)
