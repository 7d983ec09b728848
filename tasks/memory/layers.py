"""A deep model priced by two shallow ones: its layers are alike, so what each adds is the difference of both.

A pass of 80 layers takes a minute even without numbers, one of 2 and one of 4 take two seconds.
"""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from tasks.training.tuning_settings import Tuning

Need = TypeVar("Need")

SHALLOW = (2, 4)
"""Layers of the models that are looked at."""


def by_layers(config: Any, tuning: Tuning, need: Callable[[Any], Need]) -> Need:
    """`need` of transformers' `config`: of shallow copies where its layers are alike, else of the whole.

    Need: a dataclass of numbers, of `Counter`s, and of dataclasses of them.
    """
    count = getattr(config, "num_hidden_layers", 0)
    if count <= SHALLOW[1] or not alike(config, tuning):
        return need(config)
    few, more = (need(shallow(config, layers)) for layers in SHALLOW)
    extended: Need = _extended(few, more, (count - SHALLOW[0]) / (SHALLOW[1] - SHALLOW[0]))
    return extended


def _extended(few: Any, more: Any, steps: float) -> Any:
    """`few`, and `steps` times what `more` has beyond it."""
    if isinstance(few, int):
        return round(few + (more - few) * steps)
    if isinstance(few, Counter):
        return Counter({key: _extended(few[key], more[key], steps) for key in few | more})
    names = [field.name for field in fields(few)]
    return type(few)(**{name: _extended(getattr(few, name), getattr(more, name), steps) for name in names})


def alike(config: Any, tuning: Tuning) -> bool:
    """Whether each layer is like the others, and gets the same adapter."""
    if config.get_text_config() is not config or tuning.peft or tuning.method == "freeze":
        return False
    lists = {
        name: value
        for name, value in config.to_dict().items()
        if isinstance(value, list) and len(value) == config.num_hidden_layers
    }
    dense_first = getattr(config, "first_k_dense_replace", 0) or getattr(config, "decoder_sparse_step", 1) != 1
    return not dense_first and all(len(set(map(str, value))) == 1 for value in lists.values())


def shallow(config: Any, layers: int) -> Any:
    """`config` with fewer layers."""
    count, changed = config.num_hidden_layers, copy.deepcopy(config)
    for name, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == count and hasattr(changed, name):
            setattr(changed, name, value[:layers])
    changed.num_hidden_layers = layers
    return changed
