"""Whether the files with a model's weights are there, and whole, by their names and headers: before libraries load."""

from collections.abc import Iterator
from pathlib import Path

from tasks.core.errors import ModelError
from tasks.core.json_files import read_object
from tasks.models.foreign import foreign

WEIGHTS = "model.safetensors"

INDEX = "*.safetensors.index.json"
"""Which file holds which tensor, where there are several."""

ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
"""An adapter's configuration, and its weights."""


def check_weight_files(folder: Path, remedy: str = "restore it") -> None:
    """Raise `ModelError` where a safetensors file of `folder` is missing or cut off, with what to do (`remedy`).

    check_weight_files(Path("data/merged"), "run `dvc checkout data/merged`")
    """
    from safetensors import safe_open

    for name in _names(folder):
        file = folder / name
        if not file.is_file():
            raise ModelError(f"{file}: this file with weights is missing; {remedy}.")
        with foreign(file, remedy, "it is not a complete safetensors file"), safe_open(file, "np"):
            pass


def _names(folder: Path) -> Iterator[str]:
    """Files that a model or an adapter in safetensors has to have; none for other formats."""
    if (folder / ADAPTER[0]).is_file():
        yield ADAPTER[1]
    elif index := next(folder.glob(INDEX), None):
        weight_map = read_object(index, ModelError).get("weight_map")
        yield from sorted(set(map(str, weight_map.values()))) if isinstance(weight_map, dict) else ()
    elif not any(any(folder.glob(pattern)) for pattern in ("*.gguf", "*.bin")):
        yield WEIGHTS
