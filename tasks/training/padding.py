"""Batches without padding: rows one after the other, kept apart by their position ids, where the model honours them.

Shapes: `B` lines of a batch, `T` tokens of a line, `V` vocabulary.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from tasks.core.errors import CheckFailed
from tasks.training import lines, row_attention
from tasks.training.settings import Batched
from tasks.training.sharding import put_back

PROBE, SHORT_PROBE = 64, 16
"""Tokens of each of two rows that are compared alone and side by side. Kernels for 16 bits and fewer are chosen by the
number of tokens, and round differently below 64; in float32 fewer say the same, in less than half of the time."""

TOLERANCE = 1e-3
"""Largest difference of a logit, as a share of the largest logit. Rows that are apart differ by about 1e-6 of it."""


Collator = Callable[[list[dict[str, Any]]], dict[str, Any]]
"""Items (input_ids, labels; seq_lengths where an item holds several rows) to a batch."""

FLAT_COLLATOR: Collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
"""Items to one line of the shape (1, T), with the bounds of rows that flash attention and recurrent kernels ask
for, and no attention mask: one of ones would let the rows see each other. It is trl's; there is no padding in it."""


def use_padding_free(what: str, settings: Batched, model: Any, rows: Any, *forms: Collator) -> Collator | None:
    """The first of `forms` (else the flat one) by which batches of `rows` go without padding; None: they are padded.

    `settings.padding_free` says whether, or leaves it to what is measured: a form is one in which `model` keeps rows
    apart, and of long rows one in which nothing is computed between them. Raises `CheckFailed` where it is asked for
    and there is none: recurrent models mix rows, silently.
    """
    if settings.padding_free is False or getattr(settings, "neftune", None):
        return None  # NEFTune's noise is by the tokens of a line
    if settings.padding_free == "auto":
        longest = pc.max(pc.list_value_length(rows.data.column("input_ids"))).as_py() or 0
        if longest * settings.batch_size > lines.DENSE:
            return first_apart(model, rows)
    form = first_apart(model, rows, *(forms or [FLAT_COLLATOR]))
    if form is None and settings.padding_free != "auto":
        raise CheckFailed(
            f"{what}: the base mixes the rows of a padding-free batch, so each row would see the ones before it; set "
            f"{what}.padding_free to auto or false."
        )
    return form


def first_apart(model: Any, rows: Any, *forms: Collator) -> Collator | None:
    """The first of `forms` in which `model` keeps rows apart, or None.

    Before them, the flat form is tried with attention over one row at a time, which `model` keeps if it works.
    """
    if row_attention.use(model):
        if rows_stay_apart(model, rows, FLAT_COLLATOR):
            return FLAT_COLLATOR
        row_attention.leave(model)
    return next((form for form in forms if rows_stay_apart(model, rows, form)), None)


def rows_stay_apart(model: Any, rows: Any, collate: Collator) -> bool:
    """Whether a row's logits are the same alone as behind another and beside a longer one, in batches of `collate`.

    A model that refuses such a batch, as recurrent ones do without kernels of their own, would mix the rows.
    """
    device = next(model.parameters()).device
    context = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    probe = SHORT_PROBE if all(value.dtype == torch.float32 for value in model.parameters()) else PROBE
    tokens = min(probe, context or probe)
    # short rows are repeated, up to that length
    first, second = (np.resize(rows[index]["input_ids"], tokens) for index in (0, min(1, len(rows) - 1)))
    both = np.concatenate([first, second])
    packs = [
        {"input_ids": ids, "labels": ids, "seq_lengths": [len(row) for row in parts]}
        for ids, parts in ((both, [first, second]), (second, [second]))
    ]
    batch = collate(packs)
    del batch["labels"]
    training = model.training
    model.eval()
    with torch.no_grad():
        alone = model(input_ids=torch.tensor(second[None], device=device), use_cache=False).logits[
            0
        ]  # (T of second, V)
        put = {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
        try:
            logits = model(**put, use_cache=False).logits  # (B, T, V)
        except (ValueError, RuntimeError, NotImplementedError, TypeError, AttributeError):
            return False
        finally:
            model.train(training)
            put_back(model)
    behind = logits[0, len(first) : len(both)]
    beside = logits[0, len(both) :] if len(logits) == 1 else logits[1, : len(second)]
    difference = torch.cat([behind - alone, beside - alone]).abs().max()
    return bool(difference <= TOLERANCE * alone.abs().max())
