"""llama.cpp's converter from Hugging Face folders to GGUF, as `converter.zip` holds it, and what it can convert.

The archive has the folders `conversion` and `gguf` of llama.cpp, unchanged, from the source archive of xllamacpp: the
same llama.cpp that runs the files. It brings a package `gguf` that is newer than the one of the registries, so it is
imported in a process of its own only (`tasks.models.apart`). docs/support.md says how it was made.
"""

import ast
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from tasks.core.errors import MachineError, ModelError
from tasks.core.files import sha256
from tasks.models.gguf.limits import difference, text_config

ARCHIVE = Path(__file__).with_name("converter.zip")
SHA256 = "c3ad378c60502e7f475e0f98ee548e0bd33f2972782e80dcd7a28bdbc2347c13"
"""Of the archive; an edit here is an edit of the stages that convert."""

TYPES = ("f32", "f16", "bf16", "q8_0")
"""Types of matrices that the converter writes itself."""


@cache
def architectures() -> Mapping[str, str]:
    """Names in `architectures` of config.json that llama.cpp converts as models of text, with the converter's module.

    Read from the source, without importing it.
    """
    source = ZipFile(ARCHIVE).read("conversion/__init__.py")
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "TEXT_MODEL_MAP" and node.value:
            registry: dict[str, str] = ast.literal_eval(node.value)
            return registry
    raise MachineError(f"{ARCHIVE.name}: llama.cpp's converter has no list of architectures; restore the file.")


def check(config: Mapping[str, Any], where: str, advice: str) -> None:
    """Raise `ModelError` where llama.cpp does not convert the model that `config` (config.json) describes.

    `where` begins the sentence, `advice` ends it.
    """
    name = next(iter(text_config(config)["architectures"]), None)
    if name is None:
        raise ModelError(f"{where}: config.json names no architecture, so llama.cpp cannot convert it; {advice}.")
    if name not in architectures():
        raise ModelError(f"{where}: llama.cpp does not convert the architecture {name} to GGUF; {advice}.")
    if different := difference(config):
        raise ModelError(f"{where}: llama.cpp {different}; {advice}.")


def enter() -> None:
    """Have `import conversion` and `import gguf` give the converter's; for a process that does nothing else.

    Raises `MachineError` where the archive is not the one that was tried.
    """
    if sha256(ARCHIVE) != SHA256:
        raise MachineError(
            f"{ARCHIVE.name}: not the tested version of the converter; restore tasks/models/gguf from git."
        )
    for name in [name for name in sys.modules if name.split(".")[0] in ("gguf", "conversion")]:
        del sys.modules[name]
    sys.path.insert(0, str(ARCHIVE))
