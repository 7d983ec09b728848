"""The base model as it was recorded: where it lies, and that it still is what it was."""

from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.core.files import fingerprint, read_json, sha256
from tasks.core.paths import Paths

SMALL = 16 * 2**20
"""Bytes. Larger files are compared by size here; DVC compares their hash, since the folder is a dependency."""


DERIVED = ("trained", "converted")
"""Kinds of base that lie in data/base, and not where the user put them."""


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Name, size in bytes and SHA-256 of each file of a model folder that decides what it computes."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and _matters(file)]
    return {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in files}


def identity(files: dict[str, dict[str, Any]]) -> str:
    """One hash of all files of a model."""
    return fingerprint({name: facts["sha256"] for name, facts in files.items()})


def base_record(paths: Paths) -> dict[str, Any]:
    """`data/base/base.json`: kind, location, revision, files and their hash."""
    return read_json(paths.base / "base.json", "base")


def base_folder(paths: Paths) -> Path:
    """The folder of the base model, after checking that its files are those that were recorded."""
    record = base_record(paths)
    if record["kind"] in DERIVED:
        folder: Path = paths.base / record["location"]
    elif record["kind"] == "folder":
        folder = paths.root / record["location"]
    else:
        folder = hub_folder(record["location"], record["revision"])
    for name, facts in record["files"].items():
        file = folder / name
        if not file.is_file():
            raise ModelError(f"{file}: the base model has lost this file; restore it, or run `dvc repro -f base`.")
        same = file.stat().st_size == facts["bytes"]
        if same and facts["bytes"] <= SMALL:
            same = sha256(file) == facts["sha256"]
        if not same:
            raise ModelError(
                f"{file}: the base model has changed since it was recorded; restore it, or run `dvc repro -f base`."
            )
    return folder


def hub_folder(name: str, revision: str) -> Path:
    """The folder of a hub model in the local cache, downloaded if it is not there; never copied.

    Raises `ModelError` where it can be had neither from the cache nor from the hub.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(str(snapshot_download(name, revision=revision, local_files_only=True)))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(str(snapshot_download(name, revision=revision, allow_patterns=wanted)))
    except (HfHubHTTPError, OSError) as error:
        raise _unreachable(name, revision, error) from None


def check_hub(name: str, revision: str) -> None:
    """Raise `ModelError` where a hub model is neither in the local cache nor offered by the hub; downloads nothing."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(name, revision=revision, local_files_only=True)
    except LocalEntryNotFoundError:
        try:
            HfApi().model_info(name, revision=revision, timeout=10)
        except (HfHubHTTPError, OSError) as error:
            raise _unreachable(name, revision, error) from None


def _unreachable(name: str, revision: str, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:300]
    return ModelError(
        f"base.hub: {name}@{revision} is not in the local cache and cannot be downloaded ({reason}); check the "
        "name, the revision, the network and, for gated models, HF_TOKEN; or give a local folder as base.folder."
    )


def _matters(file: Path) -> bool:
    return file.suffix in {".json", ".safetensors", ".jinja", ".model", ".txt"} and not file.name.startswith(".")
