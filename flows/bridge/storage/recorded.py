"""Whether a folder still is what a stage left there, by the hashes that dvc.lock has of it."""

from collections.abc import Iterator
from pathlib import Path

from dvc.output import Output
from dvc_data.hashfile.build import build
from dvc_data.hashfile.tree import Tree

from flows.bridge.lockfile import LOCK
from flows.bridge.repo import graph, locked, opened
from flows.bridge.storage.objects import looking_at
from tasks.core.errors import InputError
from tasks.core.paths import PATHS

SHOWN = 3
"""Files that a sentence names."""


def check_recorded(folder: Path) -> None:
    """Raise `InputError` unless `folder` is an output that DVC tracks, or a part of one, with the bytes on record.

    Each file is read, unless it was read before and nothing has been written to it since.

    Example:

        check_recorded(Path("data/merged"))
    """
    place = folder.resolve()
    with opened() as repo, locked(repo):
        graph(repo)
        outs = [out for out in repo.index.outs if place.is_relative_to(Path(out.fs_path).resolve())]
        if not outs:
            raise InputError(
                f"{folder}: no stage makes this folder, so no hash tells what belongs in it; name one that a stage "
                f"makes, such as {PATHS.merged}."
            )
        (out,) = outs
        stage = out.stage.addressing
        if not out.hash_info:
            raise InputError(f"{folder}: {LOCK} has no hash of it; run `temper run {stage}`, which records it.")
        with looking_at(repo, out):
            if not out.changed_checksum():
                return
            changes = dict(_changes(out))
    root = Path(out.fs_path).resolve()
    names = [f"{root / name} {what}" for name, what in changes.items() if (root / name).is_relative_to(place)]
    if changes and not names:
        return  # another part of the output
    shown = [name.removeprefix(f"{place}/") for name in names[:SHOWN]] or ["its files have changed"]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    raise InputError(
        f"{folder} is not what {stage} wrote: {', '.join(shown)}{more}, by the hashes in {LOCK}; restore it with `dvc "
        f"checkout --force {out}`, or run `temper run {stage}`."
    )


def _changes(out: Output) -> Iterator[tuple[str, str]]:
    """Files that differ from the record, with what became of each; none where the cache has no list of them."""
    recorded = out.get_obj()
    if not isinstance(recorded, Tree):
        return
    cache, ignore = out.cache, out.dvcignore
    _, _, here = build(cache, out.fs_path, out.fs, cache.hash_name, ignore=ignore, dry_run=True)
    before, now = ({"/".join(key): entry.value for key, _, entry in tree} for tree in (recorded, here))
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield name, "is missing" if name not in now else "is new" if name not in before else "has changed"
