"""Merge the adapter into the base: one model folder that loads without peft.

    python -m tasks merge

In: data/base, data/trained, data/templated (tokenizer, and rows to compare on), data/adapters where others are combined
with the trained one. Out: data/merged (config,
generation_config, safetensors, tokenizer with its chat template, `merge.json`, `settings.json`). Where training tuned
every weight there is nothing to merge; the model passes through the same door and the same check.
"""

from typing import Any

from tasks.core.declaration import Entry, Resources, Size, Stage
from tasks.core.paths import PATHS, Paths
from tasks.merge.combine import check_combinable, check_whole, is_adapter, other_adapters
from tasks.merge.settings import Settings
from tasks.models.adapter_files import adapter_config
from tasks.models.origin import check_configured
from tasks.training import estimate
from tasks.training.estimate import Base

__all__ = ["STAGE", "Settings", "run", "validate"]


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings alone."""
    if settings.combine:
        others = other_adapters(settings.combine, paths.adapters)
        if not all(is_adapter(folder) for folder in others.values()):
            check_whole(settings.combine, others)
        adapters = {name: folder for name, folder in others.items() if is_adapter(folder)}
        check_combinable({name: adapter_config(folder) for name, folder in adapters.items()}, settings.combine)
        check_configured([*adapters.values()], settings.base_names)


def run(settings: Settings, paths: Paths) -> None:
    """Merge, compare, save; see the module's docstring."""
    from tasks.merge.run import merge

    merge(settings, paths)


def size(params: Any, base: Base) -> Size:
    """What the merged model takes."""
    return Size(estimate.merged(base, params.merge.dtype))


STAGE = Stage(
    name="merge",
    about="Base and adapter merged into one model.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(
        Entry(
            inputs=(
                PATHS.adapters,
                PATHS.aligned,
                PATHS.base,
                PATHS.templated / "judged",
                PATHS.templated / "preferences",
                PATHS.tokenizer,
                PATHS.tokens("train"),
                PATHS.tokens("validation"),
                PATHS.fitted,
            ),
            outputs=(PATHS.merged,),
        ),
    ),
    resources=Resources(gpu=True),
    size=size,
)
