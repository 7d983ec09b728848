"""Prompts that the model answers in training, each with a reference: the token ids that template made (INV-8)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.training.rows import load
from tasks.training.stretches import last_stretches, one_array


class Prompts:
    """Prompts and references as token ids; as items, with the reference as text too."""

    column_names: tuple[str, ...] = ("id", "prompt", "reference_ids", "reference")

    def __init__(self, prompts: Any, references: Any, left_out: int, tokenizer: Any, names: Sequence[str]) -> None:
        """`prompts`, `references`: Arrow lists of ids, one a prompt. `left_out`: rows without a prompt. `names`: ids of
        the rows or pairs that they are of."""
        self.prompts, self.references, self.left_out, self.tokenizer = prompts, references, left_out, tokenizer
        self.names = names

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self.references[index].as_py()
        reference = self.tokenizer.decode(ids, skip_special_tokens=True)
        prompt = self.prompts[index].as_py()
        return {"id": self.names[index], "prompt": prompt, "reference_ids": ids, "reference": reference}

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
        asked, answers = (one_array(table.column(key)) for key in ("prompt_ids", "chosen_ids"))
        prompts = Prompts(asked, answers, 0, tokenizer, table.column("id").to_pylist())
    else:
        file = paths.tokens("train")
        table = load(file).data
        stretches = last_stretches(table)
        names = one_array(table.column("id")).take(stretches.rows).to_pylist()
        prompts = Prompts(stretches.prompts, stretches.answers, stretches.left_out, tokenizer, names)
    if not len(prompts):
        reason = " (no row has a message before its first trained answer)" if prompts.left_out else ""
        raise InputError(
            f"{file}: no prompt for the model to answer{reason}; set align.prompts to "
            f"{'rows' if source == 'pairs' else 'pairs'}, or provide rows with a question and an answer."
        )
    return prompts


def held_out(paths: Paths, *, judged: bool, answered: str | None) -> Path:
    """The file with rows of the validation split that tell prompts and references.

    `judged`: whether the objective learns from judged answers. `answered`: where prompts come from that the model
    answers in training, as `Settings.prompts`; None where it answers none.
    """
    if answered == "rows":
        return paths.tokens("validation")
    file = paths.templated / "judged" / "validation.arrow"
    return file if judged and len(load(file)) else paths.templated / "preferences" / "validation.arrow"
