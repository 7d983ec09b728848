"""How many steps a training makes where it is asked for epochs: one a batch, each row once an epoch.

>>> steps(epochs=2, items=70, batch=32)
6
"""

from fractions import Fraction
from math import ceil
from typing import TypeVar

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.training.launch import world
from tasks.training.settings import Optimization

NOMINAL = 1000
"""Steps an epoch that settings are checked with before anything says how many rows there are."""

Settings = TypeVar("Settings", bound=Optimization)


def passes(items: int, batch: int, drop_last: bool = False) -> int:
    """Forward passes an epoch of `items` rows or packs, `batch` of them at once over all processes.

    The last one is short, unless `drop_last` leaves it out.
    """
    return items // batch if drop_last else ceil(items / batch)


def steps(epochs: float, items: int, batch: int, accumulation: int = 1, drop_last: bool = False) -> int:
    """Optimiser steps in `epochs`, rounded up; an epoch's last step is of the passes that are left, as in transformers.

    `items`, `batch` and `drop_last` as for `passes`; `accumulation`: passes a step.
    """
    return _rounded(epochs, passes(items, batch, drop_last), accumulation)


def resolved(what: str, settings: Settings, items: int) -> Settings:
    """`settings` with the number of steps that its epochs are on `items` rows or packs; as they are without epochs.

    Raises `SettingsError` where an epoch is without a batch.
    """
    drop_last = bool(getattr(settings, "arguments", {}).get("dataloader_drop_last"))
    batch = settings.batch_size * world(settings)
    return with_passes(what, settings, passes(items, batch, drop_last))


def with_passes(what: str, settings: Settings, passes_an_epoch: int) -> Settings:
    """As `resolved`, where an epoch is so many forward passes."""
    if settings.steps is not None or settings.epochs is None:
        return settings
    if not passes_an_epoch:
        raise SettingsError(
            f"{PATHS.params}: {what}.epochs: there are too few rows for one batch, and "
            f"{what}.arguments.dataloader_drop_last drops incomplete batches; lower {what}.batch_size, or remove that "
            "argument."
        )
    number = _rounded(settings.epochs, passes_an_epoch, settings.gradient_accumulation)
    return settings.model_copy(update={"steps": number})


def assumed(settings: Settings) -> Settings:
    """`settings` with some number of steps, to be checked before there are rows."""
    return with_passes("", settings, NOMINAL * settings.gradient_accumulation)


def _rounded(epochs: float, passes_an_epoch: int, accumulation: int) -> int:
    return ceil(Fraction(str(epochs)) * ceil(passes_an_epoch / accumulation))
