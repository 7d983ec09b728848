"""Sections of params.yaml, as their stages read them."""

from pathlib import Path
from typing import Any

from tasks.core.settings import PARAMS, load
from tasks.stages import stage


def section(name: str) -> Any:
    """The settings of the stage `name`."""
    return load(stage(name).settings, Path(PARAMS), name)
