"""Prompts that the model answers in training, each with a reference: the token ids that template made (INV-8)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.rows.canonical import IGNORED
from tasks.training.rows import load


class Prompts:
    """Prompts and references as token ids; as items, with the reference as text too."""

    column_names: tuple[str, ...] = ("prompt", "reference_ids", "reference")

    def __init__(self, prompts: Any, references: Any, left_out: int, tokenizer: Any, names: Sequence[str] = ()) -> None:
        """`prompts`, `references`: Arrow lists of ids, one a prompt. `left_out`: rows without a prompt. `names`: ids of
        the rows that they are of, where they are of rows."""
        self.prompts, self.references, self.left_out, self.tokenizer = prompts, references, left_out, tokenizer
        self.names = names

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self.references[index].as_py()
        reference = self.tokenizer.decode(ids, skip_special_tokens=True)
        return {"prompt": self.prompts[index].as_py(), "reference_ids": ids, "reference": reference}

    @property
    def longest(self) -> int:
        """The prompt with the most tokens."""
        return int(np.argmax(pc.list_value_length(self.prompts).to_numpy()))

    def counts(self) -> dict[str, int]:
        """Prompts, tokens in them, and rows that have none."""
        tokens = pc.sum(pc.list_value_length(self.prompts)).as_py() or 0
        return {"rows": len(self), "prompt_tokens": tokens, "rows_without_prompt": self.left_out}


def read(paths: Paths, source: str, tokenizer: Any) -> Prompts:
    """The prompts of training; `source` as `Settings.prompts`. Raises `InputError` where there is none."""
    if source == "pairs":
        file = paths.templated / "preferences" / "train.arrow"
        table = load(file).data
        prompts = Prompts(_one_array(table.column("prompt_ids")), _one_array(table.column("chosen_ids")), 0, tokenizer)
    else:
        file = paths.tokens("train")
        prompts = _from_rows(load(file).data, tokenizer)
    if not len(prompts):
        reason = " (its rows have no turn before the first trained one)" if prompts.left_out else ""
        raise InputError(
            f"{file}: no prompt for align.objective to have answered{reason}; set align.prompts to "
            f"{'rows' if source == 'pairs' else 'pairs'}, or give rows with a question and an answer."
        )
    return prompts


def _one_array(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _from_rows(table: Any, tokenizer: Any) -> Prompts:
    """Rows up to where their last trained stretch begins, and that stretch; those trained from the start are left out.

    What follows the stretch, such as the line end behind a turn, is no part of the answer.
    """
    ids, labels = _one_array(table.column("input_ids")), _one_array(table.column("labels"))
    offsets = ids.offsets.to_numpy()
    token_ids = ids.values.to_numpy()
    trained = labels.values.to_numpy() != IGNORED
    prompts, references, names = [], [], []
    for name, (start, end) in zip(table.column("id").to_pylist(), pairwise(offsets.tolist()), strict=True):
        trained_positions = np.flatnonzero(trained[start:end])
        if not len(trained_positions):
            continue
        last = int(trained_positions[-1])
        first = last - int(np.argmax(np.append(~trained[start : start + last + 1][::-1], True))) + 1
        if first:
            prompts.append(token_ids[start : start + first])
            references.append(token_ids[start + first : start + last + 1])
            names.append(name)
    id_list = pa.list_(pa.int32())
    return Prompts(pa.array(prompts, id_list), pa.array(references, id_list), len(ids) - len(prompts), tokenizer, names)
