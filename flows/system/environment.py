"""What the bytes of a result depend on beside the repository."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def environment(distributions: Iterable[str]) -> dict[str, str]:
    """Python, processor and the versions of `distributions`, by name; a run's experiment records them."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    facts = {"python": platform.python_version(), "machine": platform.machine(), "processor": (models or ["?"])[0]}
    for name in distributions:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts
