"""Merge the adapter into the base: one model folder that loads without peft.

    python -m tasks merge

In: data/base, data/trained, data/templated (tokenizer, and rows to compare on). Out: data/merged (config,
generation_config, safetensors, tokenizer with its chat template, `merge.json`, `settings.json`). Where training tuned
every weight there is nothing to merge; the model passes through the same door and the same check.
"""

from typing import Annotated

from pydantic import Field

from tasks.contract.paths import Paths
from tasks.contract.settings import Settings as Section


class Settings(Section):
    """The section `merge`."""

    probes: Annotated[int, Field(ge=1)] = 16
    """Rows of the validation split (of the training split where there is none) on which both models are compared."""
    tolerance: Annotated[float, Field(gt=0)] = 1e-3
    """Largest allowed difference of a logit between base with live adapter and merged model, both in float32."""


def run(settings: Settings, paths: Paths) -> None:
    """Merge, compare, save; see the module's docstring."""
    from tasks.merge.merge import merge

    merge(settings, paths)
