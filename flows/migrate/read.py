"""Which tool a file is of, and its conversion."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.migrate import hosted, notebook, torchtune, trl
from flows.migrate.axolotl import keys as axolotl
from flows.migrate.conversion import Conversion
from flows.migrate.llama_factory import keys as llama_factory
from flows.params.model import model
from tasks.core.errors import InputError
from tasks.core.yaml_files import parse

LARGEST = 10 * 2**20
"""Bytes of the largest file that is read."""

TOOLS = {
    "axolotl": axolotl,
    "llama-factory": llama_factory,
    "torchtune": torchtune,
    "trl": trl,
    "openai": hosted,
    "unsloth": notebook,
}


def convert(path: Path, tool: str | None = None) -> Conversion:
    """The conversion of a file. `tool`: whose it is, where its keys do not show it. Raises `InputError`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: larger than {LARGEST >> 20} MiB, which is too large for a settings file.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text.") from None
    try:
        given, known = _read(path, text, tool)
    except (AttributeError, TypeError, ValueError, SyntaxError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as settings of {tool or 'any known tool'} ({reason}).") from None
    conversion = Conversion(known, path.parent)
    try:
        TOOLS[known].convert(given, conversion)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: a value has a type that {known} does not allow there ({error}); fix the file."
        ) from None
    _settle(conversion)
    return conversion


def _settle(conversion: Conversion) -> None:
    """Take back what does not go together here, with a line that says so."""
    section = conversion.values.get(conversion.stage, {})
    strategy = section.get("launch", {}).get("strategy")
    if strategy and (section.get("method") == "qlora" or section.get("quantization")):
        why = f"{strategy} cannot shard a quantised base: each process holds all of it (ddp)"
        conversion.take_back("STAGE.launch.strategy", "refused", why)
        if not section["launch"]:
            section.pop("launch")


def _read(path: Path, text: str, tool: str | None) -> tuple[dict[str, Any], str]:
    """Keys and values, and the tool."""
    if path.suffix in (".ipynb", ".py") or tool == "unsloth":
        return notebook.parse(text), "unsloth"
    if path.suffix in (".sh", ".txt", ".cmd") or "--" in text.split("\n", 1)[0]:
        return trl.parse(text), "trl"
    value = json.loads(text) if path.suffix == ".json" else parse(text, "safe")
    if not isinstance(value, Mapping):
        raise ValueError("no keys with values")
    return dict(value), tool or _recognised(value)


def _recognised(value: Mapping[str, Any]) -> str:
    """The tool whose keys these are. Raises `ValueError` where no tool's are."""
    keys = set(value)
    if keys and keys <= set(model().model_fields):
        raise ValueError("these are temper's own settings: take them with `temper run --recipe`")
    component = any(isinstance(inner, Mapping) and "_component_" in inner for inner in value.values())
    if component:
        return "torchtune"
    if "training_file" in keys or value.get("object") == "fine_tuning.job":
        return "openai"
    if len(keys & axolotl.MARKS) >= 2:
        return "axolotl"
    if keys & llama_factory.MARKS or {"model", "train_dataset"} <= keys:
        return "llama-factory"
    if keys & trl.MARKS:
        return "trl"
    raise ValueError(f"its keys match none of {', '.join(TOOLS)}; name the tool with --tool")
