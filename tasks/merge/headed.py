"""A classifier that training made, merged by peft with the whole base in memory: the base has no head to merge into.

Shapes: `C` classes. The logits of a row are (1, C): a prompt is read once, at its last token.
"""

from pathlib import Path
from typing import Any

import torch

from tasks.merge.adapter import Adapter
from tasks.merge.folder import save_reading
from tasks.merge.trained import Logits
from tasks.merge.whole import load_whole, merge_whole, with_adapter
from tasks.models.equivalence import logits
from tasks.models.foreign import check_sizes
from tasks.models.head import Head
from tasks.models.shards import stored_tensors


class Headed:
    """The base with `head`, which is zero, and `adapter` with the trained one; or the model tuned whole in `tuned`."""

    by = "peft with the whole base in memory: the base has no classification head"

    def __init__(self, base: Path, adapter: Adapter | None, tuned: Path, head: Head) -> None:
        check_sizes(base, stored_tensors(base))
        self.adapter, self.tuned = adapter, tuned
        self.model = head.load(base, dtype=torch.float32).eval()
        self.rows = int(self.model.get_input_embeddings().weight.shape[0])

    def live(self, rows: list[list[int]]) -> tuple[Logits, Logits]:
        """Logits before training, when each class is as likely, and after it, for the token ids of each row."""
        before = logits(self.model, rows)
        self.model = with_adapter(self.model, self.adapter.folder) if self.adapter else load_whole(self.tuned)
        return before, logits(self.model, rows)

    def write(self, tokenizer: Any, dtype: torch.dtype, keep: bool, out: Path) -> None:
        """The merged classifier into the folder `out`, all of it as `dtype`; `keep` has no effect."""
        save_reading(merge_whole(self.model) if self.adapter else self.model, tokenizer, dtype, out)
