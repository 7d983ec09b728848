"""DVC's run cache: what came out of each command, by what went into it. Its entries are read before they count."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA
from dvc.stage import PipelineStage
from dvc.stage.cache import _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils.serialize import ParseError, parse_yaml
from voluptuous import Invalid

from flows.bridge.storage.objects import looking_at
from tasks.core.errors import Unavailable
from tasks.core.files import written

_ENTRY = re.compile("[0-9a-f]{64}")
"""The name of an entry; others are of entries that somebody writes."""


def keep(stage: PipelineStage) -> None:
    """Note what came out of `stage`, whose outputs are stored.

    DVC keeps no entry where an output stays when the stage runs again (`persist`), since what stands in it may decide
    what comes out. A record of responses decides only what is asked, so for the stages here the inputs say it all.
    DVC's own commands never look such an entry up; they push and fetch it.
    """
    if not all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs):
        return
    records = [out for out in stage.outs if out.persist]
    try:
        for out in records:
            out.persist = False
        stage.repo.stage_cache.save(stage)
    finally:
        for out in records:
            out.persist = True


def entries(stage: PipelineStage) -> Iterator[PipelineStage]:
    """What the run cache has of a stage with these inputs, the newest first: stages with the hashes of their outputs.

    The names of an entry follow from what stands in it. One that was cut off, or changed, is put aside.
    """
    cache = stage.repo.stage_cache
    key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
    files = [file for file in Path(cache._get_cache_dir(key)).glob("*") if _ENTRY.fullmatch(file.name)]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        entry = _entry(file)
        if entry and _get_cache_hash(entry) == file.name and _get_cache_hash({**entry}, key=True) == key:
            yield cache._create_stage(entry, wdir=stage.wdir)
        else:
            with looking_at(stage.repo, stage.name):
                stage.repo.cache.local.put_aside(file, "an entry of the run cache that is not what its name says")


def fetch(repo: Repo, key: str, remote: str) -> None:
    """Bring what the DVC remote (its name, "" for the default one) has of the entries under one key, and no others.

    `dvc fetch --run-cache` brings the entries of all runs, each time. Raises `Unavailable` where the remote is away.
    """
    folder = Path(repo.stage_cache._get_cache_dir(key))
    try:
        odb = repo.cloud.get_remote_odb(remote or None, "fetch --run-cache", hash_name="md5-dos2unix")
        there = odb.fs.join(odb.path, "runs", key[:2], key)
        for source in odb.fs.find(there) if odb.fs.exists(there) else ():
            if not (entry := folder / odb.fs.name(source)).exists():
                with written(entry) as aside:
                    odb.fs.get_file(source, str(aside))
    except Exception as error:  # whatever the client of a store comes up with
        raise Unavailable(f"the DVC remote did not answer: {' '.join(str(error).split())}") from None


def known(repo: Repo, key: str) -> bool:
    """Whether there is an entry under this key here."""
    return any(_ENTRY.fullmatch(file.name) for file in Path(repo.stage_cache._get_cache_dir(key)).glob("*"))


def _entry(file: Path) -> dict[str, Any]:
    """An entry of the run cache; empty where DVC cannot read it, or where its last line has no end."""
    try:
        text = file.read_text()
        entry: dict[str, Any] = COMPILED_LOCK_FILE_STAGE_SCHEMA(parse_yaml(text, str(file)))
    except (ParseError, Invalid, UnicodeDecodeError):
        return {}
    return entry if text.endswith("\n") else {}
