"""Checkpoints that can be trusted: each has a manifest of its files, written last; only complete ones are resumed.

They lie in `data/scratch/<stage>-<key>/`, where the key is a hash of everything that went in (settings, base, rows,
code): training goes on only from a checkpoint of exactly this work, and ends in the bytes of an undisturbed run.
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.contract.files import fingerprint, sha256, write_json

MANIFEST = "manifest.json"
NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt")
"""State without which a resumed run would go on, silently, with other results."""


def key(inputs: dict[str, Any]) -> str:
    """Hash of everything that decides the result: `inputs`, this package's code, the libraries' versions."""
    code = {file.name: sha256(file) for file in sorted(Path(__file__).parent.glob("*.py"))}
    libraries = {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")}
    return fingerprint({"inputs": inputs, "code": code, "libraries": libraries})[:16]


def folder(scratch: Path) -> Path:
    """Make `scratch` (`<stage>-<key>`), and remove what the same stage left there for other inputs."""
    stage = scratch.name.rsplit("-", 1)[0]
    for other in scratch.parent.glob(f"{stage}-*"):
        if other != scratch:
            shutil.rmtree(other)
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def seal(checkpoint: Path) -> None:
    """Write the manifest: the checkpoint is complete."""
    files = {path.name: sha256(path) for path in sorted(checkpoint.iterdir()) if path.is_file()}
    write_json(checkpoint / MANIFEST, files)


def latest(scratch: Path) -> Path | None:
    """The newest checkpoint whose manifest holds; those that are incomplete are removed."""
    found = sorted(scratch.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for checkpoint in found:
        if _complete(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def _complete(checkpoint: Path) -> bool:
    try:
        files = json.loads((checkpoint / MANIFEST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    if not all(name in files for name in NEEDED) or not any(name.startswith("rng_state") for name in files):
        return False
    return all((checkpoint / name).is_file() and sha256(checkpoint / name) == told for name, told in files.items())
