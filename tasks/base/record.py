"""Record a model that is ready, by the hashes of its files; nothing is copied."""

from pathlib import Path

from tasks.base.settings import Settings
from tasks.contract.errors import ModelError
from tasks.contract.files import write_json, written
from tasks.contract.model import describe, hub_folder, identity
from tasks.contract.paths import Paths

TOKENIZERS = ("tokenizer.json", "tokenizer.model")


def record_folder(settings: Settings, paths: Paths) -> None:
    """Record the model in `settings.folder`."""
    _record(settings, paths, paths.root / settings.folder, "folder", settings.folder, None)


def record_hub(settings: Settings, paths: Paths) -> None:
    """Record the hub model `settings.hub`, downloading it into the hub's cache where it is not there yet."""
    name, revision = str(settings.hub).split("@")
    _record(settings, paths, hub_folder(name, revision), "hub", name, revision)


def _record(settings: Settings, paths: Paths, folder: Path, kind: str, location: str, revision: str | None) -> None:
    check(folder, location)
    files = describe(folder)
    digest = identity(files)
    record = {"kind": kind, "location": location, "revision": revision, "files": files, "sha256": digest}
    with written(paths.base) as out:
        out.mkdir()
        write_json(out / "base.json", record)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    size = sum(facts["bytes"] for facts in files.values())
    print(f"base: {location}, {len(files)} files, {size} bytes, sha256 {digest[:16]}", flush=True)


def check(folder: Path, location: str) -> None:
    """Raise `ModelError` where the folder lacks weights in safetensors or a tokenizer."""
    if not any(folder.glob("*.safetensors")):
        unsafe = sorted(file.name for pattern in ("*.bin", "*.pth", "*.pt") for file in folder.glob(pattern))
        told = f"it holds {unsafe[0]}; convert it, since pickled weights can run code" if unsafe else "it holds none"
        raise ModelError(f"{location}: a base needs its weights as *.safetensors; {told}.")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise ModelError(
            f"{location}: the base has no tokenizer ({' or '.join(TOKENIZERS)}); put the one it was trained with there."
        )
