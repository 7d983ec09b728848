"""How far two embedding models are apart: the vectors of the same texts.

Shapes: `N` texts, `D` numbers of a vector.
"""

from pathlib import Path

import torch

from tasks.core.errors import CheckFailed, InputError
from tasks.models.equivalence import TOKENS
from tasks.training.rows import load as load_rows
from tasks.training.rows import texts_of

ROUNDING = 1e-10
"""Cosine distance that rounding in float32 makes at most."""


def texts(folder: Path, count: int) -> list[list[int]]:
    """Token ids of the first `count` texts of the validation split in `folder`, or of train where it is empty:
    questions and documents, at most `TOKENS` of each.

    Raises `InputError` where the rows are dialogues.
    """
    for split in ("validation", "train"):
        rows = load_rows(file := folder / f"{split}.arrow")
        if "lengths" not in rows.column_names:
            raise InputError(
                f"{file}: the rows are dialogues, but the model embeds texts; run the stage template again."
            )
        if ids := [text[:TOKENS] for row in rows.select(range(min(count, len(rows)))) for text in texts_of(row)]:
            return ids[:count]
    raise AssertionError("template refuses a training split without rows")


def distances(reference: list[torch.Tensor], candidate: list[torch.Tensor], what: str) -> torch.Tensor:
    """The cosine distance (N,), from 0 to 2, of two vectors (D,) of each text.

    Raises `CheckFailed`, with `what` was loaded, where a number is not finite.
    """
    one, other = torch.stack(reference).double(), torch.stack(candidate).double()
    if not (torch.isfinite(one).all() and torch.isfinite(other).all()):
        raise CheckFailed(f"{what}: a vector contains NaN or infinite values, so the model is unusable.")
    return (1 - torch.nn.functional.cosine_similarity(one, other, dim=-1)).clamp(min=0)


def spread(vectors: list[torch.Tensor]) -> float:
    """The mean cosine distance between two of the N texts; 0 where there is one text."""
    unit = torch.nn.functional.normalize(torch.stack(vectors).double(), dim=-1)  # (N, D)
    pairs = torch.triu_indices(len(unit), len(unit), offset=1)
    return float((1 - (unit @ unit.T)[*pairs]).mean()) if pairs.numel() else 0.0
