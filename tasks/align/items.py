"""Pairs and judged answers as trl's trainers read them: token ids as the stage template made them (INV-8)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from tasks.align.objectives import OBJECTIVES
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.training.rows import load

Row = dict[str, Any]

IGNORED = -100
"""Label without a loss."""


class Items:
    """`rows` (memory-mapped), each as `shape` makes it of the row and of the one before it."""

    def __init__(self, rows: Any, shape: Callable[[Row, Row], Row]) -> None:
        self.rows, self.shape = rows, shape
        self.column_names = tuple(shape(rows[0], rows[0]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.shape(self.rows[index], self.rows[index - 1 if index else len(self.rows) - 1])


class Apart:
    """Pairs as judged answers: the chosen one of pair `i` at 2 i, good, the rejected one after it, bad."""

    column_names = ("id", "prompt_ids", "completion_ids", "label")

    def __init__(self, pairs: Any) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return 2 * len(self.pairs)

    def __getitem__(self, index: int) -> Row:
        pair, bad = self.pairs[index // 2], bool(index % 2)
        ids = pair["rejected_ids" if bad else "chosen_ids"]
        return {"id": pair["id"], "prompt_ids": pair["prompt_ids"], "completion_ids": ids, "label": not bad}


def pair(row: Row, before: Row) -> Row:
    """For DPO."""
    return {name: row[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")}


def judged(row: Row, before: Row) -> Row:
    """For KTO; the answer to another prompt, from which it estimates how far the model has moved, is the one before."""
    return {
        "prompt_ids": row["prompt_ids"],
        "completion_ids": row["completion_ids"],
        "label": row["label"],
        "KL_completion_ids": before["completion_ids"],
    }


def whole(row: Row, before: Row) -> Row:
    """For a reward model: both answers behind their prompt."""
    return {name: row["prompt_ids"] + row[name] for name in ("chosen_ids", "rejected_ids")}


def labelled(row: Row, before: Row) -> Row:
    """For ORPO and CPO: both answers behind their prompt, with labels, and the prompt alone."""
    prompt = row["prompt_ids"]
    made = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for name in ("chosen", "rejected"):
        answer = row[f"{name}_ids"]
        made[f"{name}_input_ids"] = prompt + answer
        made[f"{name}_attention_mask"] = [1] * (len(prompt) + len(answer))
        made[f"{name}_labels"] = [IGNORED] * len(prompt) + answer
    return made


def read(paths: Paths, split: str, objective: str) -> Any:
    """The rows of `split` that the objective learns from: pairs, or judged answers, or pairs for want of those."""
    pairs = load(paths.templated / "preferences" / f"{split}.arrow")
    if not OBJECTIVES[objective].judged:
        return pairs
    alone = load(paths.templated / "judged" / f"{split}.arrow")
    return alone if len(alone) or not len(pairs) else Apart(pairs)


def check(rows: Any, objective: str, where: Path) -> None:
    """Raise `InputError` where there is nothing to learn from."""
    if not len(rows):
        wanted = "judged answers (prompt, completion, label) or pairs" if OBJECTIVES[objective].judged else "pairs"
        raise InputError(
            f"{where}: no row has {wanted}, which align.objective {objective} learns from; give rows with prompt, "
            "chosen and rejected, or set align.objective to off."
        )


def counts(rows: Any) -> dict[str, int]:
    """Rows, and tokens with and without a loss in them, prompts counted once an answer."""
    if isinstance(rows, Apart):
        return counts(rows.pairs) | {"rows": len(rows)}
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
    if isinstance(rows, Apart):
        return 2 * longest(rows.pairs)
    names = [name for name in rows.column_names if name.endswith("_ids")]
    return int(np.argmax(sum(pc.list_value_length(rows.data.column(name)).to_numpy() for name in names)))
