"""Sections of params.yaml, as their stages read them; and what a check of them raises."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks.core.errors import TemperError
from tasks.core.settings import PARAMS, load
from tasks.stages import stage


def section(name: str) -> Any:
    """The settings of the stage `name`."""
    return load(stage(name).settings, Path(PARAMS), name)


def raised(check: Callable[[], object]) -> Iterator[TemperError]:
    """What `check` raises, if it does."""
    try:
        check()
    except TemperError as error:
        yield error
