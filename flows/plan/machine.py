"""What this machine must have before a run: Python, the locked versions, room on the disk and in memory, a cache.

Each function yields a sentence for each fault.
"""

import importlib.metadata
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flows.system.resources import available_memory
from tasks.core.errors import advice
from tasks.core.paths import PATHS
from tasks.core.temporary import writable

PYTHONS = ("3.11", "3.12", "3.13")
"""The Pythons that the locked versions are for."""

LOCKED = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "dvc", "prefect")
"""Distributions whose version decides over results or over this program; compared with requirements.lock."""

LOCK = PATHS.requirements

DISK = 5 * 2**30
"""Bytes of free disk below which a run is likely to fail."""

MEMORY = 2 * 2**30
"""Bytes of available memory below which a run is likely to fail."""


def python() -> Iterator[str]:
    """Whether the locked versions are for this Python."""
    here = ".".join(map(str, sys.version_info[:2]))
    if here not in PYTHONS:
        known = f"{', '.join(PYTHONS[:-1])} and {PYTHONS[-1]}"
        yield (
            f"Python {here} runs this, but the locked versions are for {known}; create the environment with one of "
            "these."
        )


def versions() -> Iterator[str]:
    """Whether the installed libraries are the locked ones."""
    if not LOCK.is_file():
        yield f"{LOCK} is missing, without which results cannot be rebuilt; restore it from git."
        return
    locked = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", LOCK.read_text(), re.MULTILINE))
    for name in LOCKED:
        if name not in locked:
            continue
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} is not installed; run: pip install --requirement {LOCK}"
            continue
        if installed.split("+")[0] != locked[name].split("+")[0]:
            yield (
                f"{name} {installed} is installed, {LOCK} says {locked[name]}; run: pip install --requirement {LOCK}"
            )


def free_disk() -> Iterator[str]:
    """Whether a run has room on the disk."""
    free = shutil.disk_usage(Path()).free
    if free < DISK:
        yield f"{free / 2**30:.1f} GiB are free on this disk, {DISK / 2**30:.0f} are recommended; free some space."


def free_memory() -> Iterator[str]:
    """Whether a run has room in memory."""
    free = available_memory()
    if free < MEMORY:
        yield (
            f"{free / 2**30:.1f} GiB of memory are available, {MEMORY / 2**30:.0f} are recommended; close other "
            "programs."
        )


def dvc_cache() -> Iterator[str]:
    """Whether DVC's cache can be written; of a project that can only be read nobody asks that much."""
    from flows.bridge import cache

    if not writable(PATHS):
        return
    folder = cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield f"DVC's cache cannot be written: {advice(error)} Or choose another: dvc cache dir FOLDER"
