"""Parts of a stage's work that earlier runs left, by what they were made of: rows that stay are not worked on again.

A stage that makes something of each piece of its input, whatever the other pieces are, keeps what it made:

    from tasks.rows.parts import Parts

    parts = Parts.of(paths, "clean", settings.model_dump(mode="json"))    # what every part depends on
    ...
    key = parts.key(name.encode(), content)                               # what this one is made of, all of it
    part = parts.get_or_make(key, lambda: as_bytes(work(content)))        # from an earlier run, or now; any process
    ...
    parts.trim()                                                          # once, at the end of the stage

The second argument of `of` is every setting that matters, and the hash of every file that all parts depend on, such as
a tokenizer; the code of all stages and requirements.lock are in each key anyway. What a part holds is bytes, read by a
format that carries no code (Arrow, JSON, numbers; no pickle). The output of the stage must be the same with parts and
without: what depends on several pieces is decided again each time.

Parts lie in `.dvc/tmp/parts/STAGE`, which runs in worktrees of their own share. Each is written aside and renamed, with
a checksum: one that is damaged counts as missing. A project without `.dvc`, or another machine, keeps none. The folder
may be removed at any time.
"""

import hashlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import xxhash

from tasks.core.files import fingerprint
from tasks.core.paths import Paths
from tasks.core.temporary import KEPT

MOST = 10 * 2**30
"""Bytes that the parts of all stages may take; those that were used longest ago go first."""

FREE = 0.1
"""Share of the disk that stays free: with less, nothing is kept."""

_SUM = 16
"""Bytes of the checksum at the beginning of a file."""


class Parts:
    """What earlier runs of one stage left. It can be sent to other processes."""

    def __init__(self, folder: Path | None, about: str) -> None:
        """`folder`: None to keep nothing; `about`: hash of what all parts depend on."""
        self._folder = folder
        self._about = about.encode()
        self._start = time.time() - 1  # the clock of files may be a little behind

    @classmethod
    def of(cls, paths: Paths, stage: str, about: Any) -> "Parts":
        """The parts of `stage` that were made with this code, these versions and `about`, a value of JSON."""
        if not paths.state.parent.is_dir():
            return cls(None, "")
        versions = paths.requirements.read_bytes() if paths.requirements.is_file() else b""
        locked = hashlib.sha256(versions).hexdigest()
        folder = (paths.parts / stage).absolute()
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, fingerprint([_code(), locked, sys.version, about]))

    def key(self, *content: bytes) -> str:
        """The name of the part that is made of `content`; where one text ends and the next begins counts, too."""
        digest = hashlib.blake2b(self._about, digest_size=20)
        for some in content:
            digest.update(len(some).to_bytes(8))
            digest.update(some)
        return digest.hexdigest()

    def get_or_make(self, key: str, make: Callable[[], bytes]) -> bytes:
        """What an earlier run made under this key; else what `make` makes, which is kept for later ones."""
        kept = self.get(key)
        if kept is None:
            kept = make()
            self.put(key, kept)
        return kept

    def get(self, key: str) -> bytes | None:
        """What was kept under this key; None where nothing was, or it is damaged."""
        if self._folder is None:
            return None
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if content[:_SUM] != _checksum(key, content[_SUM:]):
            return None  # the next one takes its place
        with suppress(OSError):
            os.utime(path)
        return content[_SUM:]

    def put(self, key: str, content: bytes) -> None:
        """Keep `content`; where the disk is nearly full, or refuses it, nothing is kept, which is no fault."""
        if self._folder is None or not self._folder.is_dir():
            return
        path = self._path(key)
        aside = path.with_name(f".{key}.{os.getpid()}.{threading.get_ident()}")
        with suppress(OSError):
            disk = shutil.disk_usage(self._folder)
            if disk.free - len(content) < FREE * disk.total:
                return
            path.parent.mkdir(exist_ok=True)
            try:
                with aside.open("wb") as file:
                    file.write(_checksum(key, content))
                    file.write(content)
                os.replace(aside, path)
            finally:
                aside.unlink(missing_ok=True)

    def trim(self, most: int = MOST) -> None:
        """Remove parts of all stages that nobody used for two weeks, and the oldest beyond `most` bytes in all.

        Of this run the last ones go first, for the next run looks for them in the same order.
        """
        if self._folder is None:
            return
        size = 0
        for used, length, path in sorted(_files(self._folder.parent), key=self._rank):
            size += length
            if size > most or path.name.startswith(".") or time.time() - used > KEPT:
                with suppress(OSError):
                    path.unlink()

    def _rank(self, file: tuple[float, int, Path]) -> tuple[bool, float]:
        """Sorts first what is to stay: what this run used, in its order; then the rest, the newest first."""
        used = file[0]
        return (False, used) if used >= self._start else (True, -used)

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / key[:2] / key[2:]


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each file was used last (seconds since 1970), its bytes, and its path; none that is being written."""
    for path in folder.glob("*/*/*"):
        with suppress(OSError):
            state = path.stat()
            if not path.name.startswith(".") or time.time() - state.st_mtime > 3600:
                yield state.st_mtime, state.st_size, path


def _checksum(key: str, content: bytes) -> bytes:
    return xxhash.xxh3_128_digest(content, seed=int(key[:16], 16))


@cache
def _code() -> str:
    """The hash of the code of all stages."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.parent.name != "__pycache__":
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
