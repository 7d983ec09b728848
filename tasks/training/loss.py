"""The loss of a batch of labelled rows, with logits for those tokens only that have a loss.

trl computes, for its log, the entropy and the accuracy of every token at every step, and on a CPU the logits of every
token, masked ones too. Here neither is made: a row of which a third is trained costs a third of the head.

Shapes: `B` rows of a batch, `T` tokens of a row, `K` positions at which any row has a label, `V` vocabulary.
"""

import inspect
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from tasks.rows.canonical import IGNORED


def accepts_logits_to_keep(model: Any) -> bool:
    """Whether `model` makes logits for chosen tokens only, given their positions as `logits_to_keep`."""
    while hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return "logits_to_keep" in inspect.signature(type(model).forward).parameters


def loss(model: Any, inputs: dict[str, Any], count: Any, choosing: bool) -> Any:
    """Sum of the cross entropies of the labelled tokens over `count`; over their number here where it is None.

    `inputs`: input_ids and labels (B, T) and what else the model reads. `choosing`: see `chooses`; where it is
    False, logits of tokens that a method puts before the rows are left out.
    """
    labels = inputs["labels"]
    targets = labels[:, 1:]  # (B, T - 1)
    positions = (targets != IGNORED).any(0).nonzero().flatten()  # (K,)
    model_inputs = {name: value for name, value in inputs.items() if name != "labels"}
    if choosing:
        logits = model(**model_inputs, use_cache=False, logits_to_keep=positions).logits  # (B, K, V)
    else:
        logits = model(**model_inputs, use_cache=False).logits[:, -labels.shape[1] :][:, positions]  # (B, K, V)
    kept_targets = targets[:, positions]  # (B, K)
    total = cross_entropy(logits.flatten(0, 1).float(), kept_targets.flatten(), ignore_index=IGNORED, reduction="sum")
    number = (kept_targets != IGNORED).sum() if count is None else torch.as_tensor(count)
    return total / number.clamp(min=1)
