"""Record a model that is ready, by the hashes of its files; nothing is copied."""

from pathlib import Path

from tasks.base.ready import check
from tasks.base.settings import Settings
from tasks.core.files import write_json, written
from tasks.core.numbers import counted
from tasks.core.paths import Paths
from tasks.models.foreign import check_sizes
from tasks.models.record import describe, hub_folder, identity
from tasks.models.shards import stored_tensors


def record_folder(settings: Settings, paths: Paths) -> None:
    """Record the model in `settings.folder`."""
    _record(settings, paths, paths.root / settings.folder, "folder", settings.folder, None)


def record_hub(settings: Settings, paths: Paths) -> None:
    """Record the hub model `settings.hub`, downloading it into the hub's cache where it is not there yet."""
    name, revision = str(settings.hub).split("@")
    _record(settings, paths, hub_folder(name, revision), "hub", name, revision)


def _record(settings: Settings, paths: Paths, folder: Path, kind: str, location: str, revision: str | None) -> None:
    check(folder, location)
    check_sizes(folder, stored_tensors(folder))
    files = describe(folder)
    digest = identity(files)
    record = {"kind": kind, "location": location, "revision": revision, "files": files, "sha256": digest}
    with written(paths.base) as out:
        out.mkdir()
        write_json(out / "base.json", record)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    size = sum(facts["bytes"] for facts in files.values())
    print(
        f"base: {location}, {counted(len(files), 'files')}, {counted(size, 'bytes')}, sha256 {digest[:16]}", flush=True
    )
