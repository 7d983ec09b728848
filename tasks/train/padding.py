"""Batches without padding: rows one after the other, kept apart by their position ids, where the model honours them."""

from typing import Any

import pyarrow.compute as pc
import torch

from tasks.contract.errors import CheckFailed
from tasks.train.settings import Optimization

DENSE = 4096
"""Tokens of a batch up to which attention over all of it costs less than padding short rows would."""

PROBE = 64
"""Tokens of each of two rows that are compared alone and side by side."""

TOLERANCE = 1e-3
"""Largest difference of a logit, as a share of the largest logit. Rows that are apart differ by about 1e-6 of it."""


def free(what: str, settings: Optimization, model: Any, rows: Any) -> bool:
    """Whether batches of `rows` go without padding; `settings.padding_free` says so, or leaves it to what is measured.

    Raises `CheckFailed` where it is asked for and the model mixes the rows: recurrent models do, silently.
    """
    if settings.padding_free is False:
        return False
    if settings.padding_free == "auto":
        longest = pc.max(pc.list_value_length(rows.data.column("input_ids"))).as_py() or 0
        return bool(longest * settings.batch_size <= DENSE) and apart(model, rows)
    if not apart(model, rows):
        raise CheckFailed(
            f"{what}: the base mixes rows that stand side by side in a batch; set {what}.padding_free to auto or false."
        )
    return True


def apart(model: Any, rows: Any) -> bool:
    """Whether the second row's logits are the same alone and after the first row, position ids starting anew."""
    if len(rows) < 2:
        return False
    device = next(model.parameters()).device
    first, second = (torch.tensor([rows[index]["input_ids"][:PROBE]], device=device) for index in (0, 1))
    places = torch.cat([torch.arange(row.shape[1], device=device) for row in (first, second)])[None]
    training = model.training
    model.eval()
    with torch.no_grad():
        alone = model(input_ids=second, use_cache=False).logits
        beside = model(input_ids=torch.cat([first, second], 1), position_ids=places, use_cache=False).logits
    model.train(training)
    difference = (beside[:, first.shape[1] :] - alone).abs().max()
    return bool(difference <= TOLERANCE * alone.abs().max())
