"""Pairs and judged answers as trl's trainers read them: token ids as the stage template made them (INV-8)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from tasks.align.objectives import OBJECTIVES
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.training.rows import count, load

Row = dict[str, Any]

IGNORED = -100
"""Label without a loss."""


class Items:
    """`rows` (memory-mapped), each as `row_mapper` makes it of the row and of the one before it."""

    def __init__(self, rows: Any, row_mapper: Callable[[Row, Row], Row]) -> None:
        self.rows, self.row_mapper = rows, row_mapper
        self.column_names = tuple(row_mapper(rows[0], rows[0]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.row_mapper(self.rows[index], self.rows[index - 1 if index else len(self.rows) - 1])


class SplitPairs:
    """Pairs as judged answers: the chosen one of pair `i` at 2 i, good, the rejected one after it, bad."""

    column_names = ("id", "prompt_ids", "completion_ids", "label")

    def __init__(self, pairs: Any) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return 2 * len(self.pairs)

    def __getitem__(self, index: int) -> Row:
        pair, rejected = self.pairs[index // 2], bool(index % 2)
        ids = pair["rejected_ids" if rejected else "chosen_ids"]
        return {"id": pair["id"], "prompt_ids": pair["prompt_ids"], "completion_ids": ids, "label": not rejected}


def pair(row: Row, previous: Row) -> Row:
    """For DPO."""
    return {name: row[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")}


def judged(row: Row, previous: Row) -> Row:
    """For KTO; the answer to another prompt, from which it estimates how far the model has moved, is the one before."""
    return {
        "prompt_ids": row["prompt_ids"],
        "completion_ids": row["completion_ids"],
        "label": row["label"],
        "KL_completion_ids": previous["completion_ids"],
    }


def whole(row: Row, previous: Row) -> Row:
    """For a reward model: both answers behind their prompt."""
    return {name: row["prompt_ids"] + row[name] for name in ("chosen_ids", "rejected_ids")}


def labelled(row: Row, previous: Row) -> Row:
    """For ORPO and CPO: both answers behind their prompt, with labels, and the prompt alone."""
    prompt = row["prompt_ids"]
    columns = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for name in ("chosen", "rejected"):
        answer = row[f"{name}_ids"]
        columns[f"{name}_input_ids"] = prompt + answer
        columns[f"{name}_attention_mask"] = [1] * (len(prompt) + len(answer))
        columns[f"{name}_labels"] = [IGNORED] * len(prompt) + answer
    return columns


def read(paths: Paths, split: str, objective: str) -> Any:
    """The rows of `split` that the objective learns from: pairs, or judged answers, or pairs for want of those.

        pairs = read(paths, "train", "dpo")
        pairs[0]["chosen_ids"]  # token ids of the answer

    An empty split has no rows; `check` raises for it.
    """
    if OBJECTIVES[objective].uses_distilled:
        return _told(paths, split)
    pairs = load(paths.templated / "preferences" / f"{split}.arrow")
    if not OBJECTIVES[objective].judged:
        return pairs
    judged_answers = load(paths.templated / "judged" / f"{split}.arrow")
    return judged_answers if len(judged_answers) or not len(pairs) else SplitPairs(pairs)


def told_file(paths: Paths, split: str) -> Path:
    """The rows of `split` with what the stage distill was told of them."""
    return paths.distilled(split) / "rows.arrow"


def _told(paths: Paths, split: str) -> Any:
    if (file := told_file(paths, split)).is_file():
        return load(file)
    if split == "train":
        raise InputError(
            f"{file}: no such file, but align.objective distill learns from it; add train to distill.splits, and run "
            "the stage distill."
        )
    return ()


def check(rows: Any, objective: str, folder: Path) -> None:
    """Raise `InputError` where there is nothing to learn from."""
    if not len(rows):
        needed = "rated answers (prompt, completion, label) or pairs" if OBJECTIVES[objective].judged else "pairs"
        raise InputError(
            f"{folder}: no row has {needed}, but align.objective {objective} learns from them; provide rows with "
            "prompt, chosen and rejected, or set align.objective to off."
        )


def counts(rows: Any) -> dict[str, int]:
    """Rows, and tokens with and without a loss in them, prompts counted once an answer."""
    if isinstance(rows, SplitPairs):
        return counts(rows.pairs) | {"rows": len(rows)}
    if "labels" in rows.column_names:
        return count(rows).as_dict()
    tokens = {
        name: pc.sum(pc.list_value_length(rows.data.column(name))).as_py() or 0
        for name in rows.column_names
        if name.endswith("_ids")
    }
    prompt = tokens.pop("prompt_ids")
    answers = sum(tokens.values())
    return {"rows": len(rows), "tokens": prompt * len(tokens) + answers, "supervised_tokens": answers}


def longest(rows: Any) -> int:
    """The row with the most tokens."""
    if isinstance(rows, SplitPairs):
        return 2 * longest(rows.pairs)
    names = [name for name in rows.column_names if name.endswith("_ids") and name != "top_ids"]
    return int(np.argmax(sum(pc.list_value_length(rows.data.column(name)).to_numpy() for name in names)))
