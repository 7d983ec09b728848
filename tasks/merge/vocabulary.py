"""Tokens that the base did not know: whether training gave them a row of embeddings of their own."""

from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import CheckFailed
from tasks.merge.layers import Skeleton
from tasks.merge.source import source


def check_new_tokens(base: Path, merged: Path, tokenizer: Any, templated: Path) -> int:
    """Raise `CheckFailed` where a token that the base's tokenizer lacks is trained on but has the row it had before.

    Such a row is what chance or padding left there; under LoRA it stays so unless the embeddings are trained too.
    Returns how many new tokens the training rows use.
    """
    from transformers import AutoTokenizer

    known = AutoTokenizer.from_pretrained(base, trust_remote_code=False).get_vocab()
    new = {number: text for text, number in tokenizer.get_vocab().items() if text not in known}
    used = sorted(_used(templated / "train.arrow") & set(new)) if new else []
    before, after = Skeleton(source(base)), Skeleton(source(merged))
    for number in used:
        old, now = _row(before, number), _row(after, number)
        if old is not None and now is not None and torch.equal(old.float(), now.float()):
            raise CheckFailed(
                f"data/merged: the token {new[number]!r} ({number}) is in the training rows, new to the base, and "
                "was not trained: its embedding is what it was before. Train the embeddings too (modules_to_save or "
                "trainable_token_indices), or choose a template without new tokens."
            )
    return len(used)


def _used(file: Path) -> set[int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: set[int] = set()
    with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
        for batch in stream:
            found.update(pc.unique(batch.column("input_ids").flatten()).to_pylist())
    return found


def _row(skeleton: Skeleton, number: int) -> torch.Tensor | None:
    """The stored embedding of a token; None where there is no such row."""
    name = skeleton.stored_name(skeleton.names[id(skeleton.embeddings.weight)])
    place = skeleton.source.tensors[name] if name else None
    return place.row(number) if place and number < place.shape[0] else None
