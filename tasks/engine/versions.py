"""What has to be the same on every node for results to be the same: the distributions that requirements.lock names."""

import importlib.metadata
from collections.abc import Iterable
from contextlib import suppress

from tasks.core.errors import MachineError
from tasks.core.paths import PATHS, Paths


def locked(paths: Paths) -> dict[str, str]:
    """The installed version of each distribution that the project's requirements.lock names."""
    if not paths.requirements.is_file():
        return {}
    lines = paths.requirements.read_text(encoding="utf-8").splitlines()
    return _installed(line.split("==")[0] for line in lines if "==" in line and not line.startswith("#"))


def check(versions: dict[str, str]) -> None:
    """Raise `MachineError` where this node has other versions than who asks."""
    here = _installed(versions)
    if other := sorted(name for name, version in versions.items() if here.get(name) != version):
        shown = ", ".join(f"{name} {here.get(name, 'missing')} for {versions[name]}" for name in other[:5])
        raise MachineError(
            f"machine.engine: a node of the Ray cluster has other versions than this machine ({shown}), so results "
            f"would differ; build its image or environment from the same {PATHS.requirements}."
        )


def _installed(names: Iterable[str]) -> dict[str, str]:
    versions = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name).split("+")[0]
    return versions
