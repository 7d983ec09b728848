"""The loss of a batch of labelled rows, with logits for those tokens only that have a loss.

trl computes, for its log, the entropy and the accuracy of every token at every step, and on a CPU the logits of every
token, masked ones too. Here neither is made: a row of which a third is trained costs a third of the head.
"""

import inspect
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from tasks.rows.canonical import IGNORED


def chooses(model: Any) -> bool:
    """Whether `model` makes logits for chosen tokens only, given their places as `logits_to_keep`."""
    while hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return "logits_to_keep" in inspect.signature(type(model).forward).parameters


def loss(model: Any, inputs: dict[str, Any], count: Any, choosing: bool) -> Any:
    """Sum of the cross entropies of the labelled tokens over `count`; over their number here where it is None.

    `inputs`: input_ids and labels (rows, tokens) and what else the model reads. `choosing`: see `chooses`; where it is
    False, logits of tokens that a method puts before the rows are left out.
    """
    labels = inputs["labels"]
    targets = labels[:, 1:]
    places = (targets != IGNORED).any(0).nonzero().flatten()
    read = {name: value for name, value in inputs.items() if name != "labels"}
    if choosing:
        logits = model(**read, use_cache=False, logits_to_keep=places).logits
    else:
        logits = model(**read, use_cache=False).logits[:, -labels.shape[1] :][:, places]
    wanted = targets[:, places]
    total = cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=IGNORED, reduction="sum")
    number = (wanted != IGNORED).sum() if count is None else torch.as_tensor(count)
    return total / number.clamp(min=1)
