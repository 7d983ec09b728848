"""Packed rows as the trainer reads them: one pack an item, sliced from the memory-mapped file, its rows kept apart.

Shapes: `B` packs of a batch, `T` tokens of a pack (of the longest one in a batch), `N` rows of a pack.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch

from tasks.core.errors import CheckFailed, InputError
from tasks.core.paths import PATHS
from tasks.rows.canonical import IGNORED
from tasks.training.lines import lines
from tasks.training.padding import FLAT_COLLATOR, Collator, first_apart


class Packs:
    """The packs of `rows` (a `datasets.Dataset` that `tasks.training.rows.load` gave), without a copy.

    Where `rows` have no column `pack`, each row is a pack of its own. Pickled, it is the file's path and the places
    where packs begin. Raises `InputError` where the packs do not ascend from 0.
    """

    column_names = ("input_ids", "labels", "seq_lengths")

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.starts = _starts(rows)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Pack `index`: input_ids and labels (int64 (T,), rows one after the other), seq_lengths (N)."""
        start, end = self.starts[index : index + 2].tolist()
        table = self.data.fast_slice(start, end - start)
        ids, labels = (table.column(name).combine_chunks() for name in ("input_ids", "labels"))
        return {
            "input_ids": ids.flatten().to_numpy().astype(np.int64),
            "labels": labels.flatten().to_numpy().astype(np.int64),
            "seq_lengths": ids.value_lengths().to_pylist(),
        }

    @property
    def longest(self) -> int:
        """The pack with the most tokens."""
        lengths = pc.list_value_length(self.data.column("input_ids")).to_numpy()
        return int(np.argmax(np.add.reduceat(lengths, self.starts[:-1])))

    @property
    def data(self) -> Any:
        """The rows' Arrow table."""
        return self.rows.data

    @property
    def num_rows(self) -> int:
        """Rows, not packs."""
        return int(self.starts[-1])


def _starts(rows: Any) -> Any:
    """The first row of each pack, and at the end the number of rows (int64)."""
    if "pack" not in rows.column_names:
        return np.arange(rows.num_rows + 1)
    packs = rows.data.column("pack").to_numpy()
    steps = np.diff(packs)
    if len(packs) and (packs[0] != 0 or ((steps != 0) & (steps != 1)).any()):
        raise InputError(
            f"{PATHS.templated}: the pack numbers do not rise from 0 row by row; run the stage template again."
        )
    return np.concatenate([[0], np.flatnonzero(steps) + 1, [len(packs)]]) if len(packs) else np.zeros(1, np.int64)


@dataclass(frozen=True)
class StackedCollator:
    """Packs to a batch of the shape (B, T): attention goes over one pack at a time, not the whole batch."""

    def __call__(self, packs: list[dict[str, Any]]) -> dict[str, Any]:
        """What fills up a shorter pack is no part of a row: each such token stands at position 0, without loss."""
        shape = len(packs), max(len(pack["input_ids"]) for pack in packs)
        ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        labels = torch.full(shape, IGNORED)
        for index, pack in enumerate(packs):
            size = len(pack["input_ids"])
            ids[index, :size] = torch.from_numpy(pack["input_ids"])
            labels[index, :size] = torch.from_numpy(pack["labels"])
            lengths = np.array(pack["seq_lengths"])
            starts = np.cumsum(lengths) - lengths
            positions[index, :size] = torch.from_numpy(np.arange(size) - np.repeat(starts, lengths))
            labels[index, starts] = IGNORED
        return {"input_ids": ids, "labels": labels, "position_ids": positions}


@dataclass(frozen=True)
class LinesCollator:
    """Rows to a batch of the shape (B, T) in which each of a few lines holds several of them, one after the other."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """As of packs; `rows` have input_ids and labels."""
        packs = []
        for line in lines([len(row["input_ids"]) for row in rows]):
            ids, labels = (np.concatenate([rows[row][name] for row in line]) for name in ("input_ids", "labels"))
            packs.append(
                {"input_ids": ids, "labels": labels, "seq_lengths": [len(rows[row]["input_ids"]) for row in line]}
            )
        return StackedCollator()(packs)


def choose_collator(what: str, model: Any, rows: Any) -> Collator:
    """The first form of a batch in which `model` keeps rows apart, measured on two of `rows`.

    Raises `CheckFailed` where it mixes them in each: recurrent models do, silently.
    """
    if form := first_apart(model, rows, StackedCollator(), FLAT_COLLATOR):
        return form
    raise CheckFailed(
        f"{what}: the base mixes rows that share a pack, so each row would see the ones before it; set "
        "template.packing to false."
    )
