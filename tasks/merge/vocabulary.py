"""Tokens that the base did not know: whether training gave them a row of embeddings of their own."""

from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import CheckFailed
from tasks.core.paths import PATHS
from tasks.merge.layers import OffloadedModel
from tasks.merge.source import source
from tasks.models.loading import load_tokenizer


def check_new_tokens(base: Path, merged: Path, tokenizer: Any, templated: Path) -> int:
    """Raise `CheckFailed` where a token that the base's tokenizer lacks is trained on but has the row it had before.

    Such a row is what chance or padding left there; under LoRA it stays so unless the embeddings are trained too.
    Returns how many new tokens the training rows use.
    """
    known = load_tokenizer(base).get_vocab()
    new = {number: text for text, number in tokenizer.get_vocab().items() if text not in known}
    used = sorted(_used(templated / "train.arrow") & set(new)) if new else []
    before, after = OffloadedModel(source(base)), OffloadedModel(source(merged))
    for number in used:
        old, now = _row(before, number), _row(after, number)
        if old is not None and now is not None and torch.equal(old.float(), now.float()):
            raise CheckFailed(
                f"{PATHS.merged}: the token {new[number]!r} ({number}) is in the training rows and new to the base, "
                "but was not trained: its embedding has not changed. Also train the embeddings (modules_to_save or "
                "trainable_token_indices), or choose a template without new tokens."
            )
    return len(used)


def _used(file: Path) -> set[int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    ids: set[int] = set()
    with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
        for batch in stream:
            ids.update(pc.unique(batch.column("input_ids").flatten()).to_pylist())
    return ids


def _row(offloaded: OffloadedModel, number: int) -> torch.Tensor | None:
    """The stored embedding of a token; None where there is no such row."""
    embeddings = offloaded.stored(offloaded.names[id(offloaded.embeddings.weight)])
    return embeddings.row(number) if embeddings and number < embeddings.shape[0] else None
