"""The base model as it was recorded: where it lies, and that it still is what it was."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.core.errors import InputError, ModelError, hub_faults, hub_reason
from tasks.core.files import fingerprint, sha256
from tasks.core.json_files import read_as
from tasks.core.paths import Paths
from tasks.core.progress import reporter

SMALL = 16 * 2**20
"""Bytes. Larger files are compared by size here; DVC compares their hash, since the folder is a dependency."""


SEEN = 2**30
"""Bytes of a model that take seconds to hash, so that a bar is worth its while."""

DERIVED = ("trained", "converted", "scaled")
"""Kinds of base that lie in data/base, and not where the user put them."""


class _File(BaseModel):
    """A file of the base."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: str


class _Record(BaseModel):
    """What base.json holds."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["folder", "hub", "trained", "converted", "scaled"]
    location: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    files: dict[Annotated[str, Field(pattern=r"^[^/\x00]+$")], _File]
    sha256: str

    @model_validator(mode="after")
    def _lies_in_place(self) -> "_Record":
        """A base that was made here lies in data/base."""
        path = PurePosixPath(self.location)
        if self.kind in DERIVED and (path.is_absolute() or ".." in path.parts):
            raise ValueError(f"location = {self.location}: a base made here must be beside base.json")
        if self.kind == "hub" and not self.revision:
            raise ValueError("a model on the hub needs a revision")
        return self


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Name, size in bytes and SHA-256 of each file of a model folder that decides what it computes."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and _matters(file)]
    sizes = {file: file.stat().st_size for file in files}
    report, done, facts = reporter(f"{folder.name}: hashed", sum(sizes.values()), "bytes"), 0, {}
    for file, size in sizes.items():
        facts[file.name] = {"bytes": size, "sha256": sha256(file)}
        done += size
        if sum(sizes.values()) > SEEN:
            report(done)
    return facts


def identity(files: dict[str, dict[str, Any]]) -> str:
    """One hash of all files of a model."""
    return fingerprint({name: facts["sha256"] for name, facts in files.items()})


def base_record(paths: Paths) -> dict[str, Any]:
    """`data/base/base.json`: kind, location, revision, files and their hash."""
    file = paths.base / "base.json"
    try:
        record = read_as(_Record, file, ModelError, "restore it, or run `dvc repro -f base`")
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; run the stage base first.") from None
    return record.model_dump()


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
            raise ModelError(f"{file}: this file of the base model is missing; restore it, or run `dvc repro -f base`.")
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
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(str(snapshot_download(name, revision=revision, local_files_only=True)))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(str(snapshot_download(name, revision=revision, allow_patterns=wanted)))
    except hub_faults() as error:
        raise _not_there(name, revision, error) from None


def check_hub(name: str, revision: str) -> None:
    """Raise `ModelError` where a hub model is neither in the local cache nor offered by the hub; downloads nothing."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        snapshot_download(name, revision=revision, local_files_only=True)
    except LocalEntryNotFoundError:
        try:
            HfApi().model_info(name, revision=revision, timeout=10)
        except hub_faults() as error:
            raise _not_there(name, revision, error) from None


def _not_there(name: str, revision: str, error: Exception) -> ModelError:
    return ModelError(
        f"base.hub: {name}@{revision} is not in the local cache and cannot be downloaded ({hub_reason(error)}); check "
        "the name, the revision, the network and, for gated models, HF_TOKEN; or give a local folder as base.folder."
    )


def _matters(file: Path) -> bool:
    return file.suffix in {".json", ".safetensors", ".jinja", ".model", ".txt"} and not file.name.startswith(".")
