"""Rows with labels taken apart: up to where the last trained stretch begins, and that stretch."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from tasks.rows.canonical import IGNORED
from tasks.training.rows import last_answer


@dataclass(frozen=True)
class Stretches:
    """Prompts and answers as Arrow lists of token ids, one a row that has both."""

    prompts: Any
    answers: Any
    rows: list[int]
    """The rows that they are of, by their place in the table."""
    left_out: int
    """Rows without a prompt, or without anything trained."""


def one_array(column: Any) -> Any:
    """A column of a table in one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def last_stretches(table: Any) -> Stretches:
    """Rows up to where their last trained stretch begins, and that stretch; those trained from the start are left out.

    `table`: columns input_ids and labels. What follows the stretch, such as the line end behind a turn, is no part of
    the answer.
    """
    ids, labels = one_array(table.column("input_ids")), one_array(table.column("labels"))
    offsets = ids.offsets.to_numpy()
    token_ids = ids.values.to_numpy()
    trained = labels.values.to_numpy() != IGNORED
    prompts, answers, rows = [], [], []
    for row, (start, end) in enumerate(pairwise(offsets.tolist())):
        span = last_answer(trained[start:end])
        if span and span[0]:
            prompts.append(token_ids[start : start + span[0]])
            answers.append(token_ids[start + span[0] : start + span[1]])
            rows.append(row)
    id_list = pa.list_(pa.int32())
    return Stretches(pa.array(prompts, id_list), pa.array(answers, id_list), rows, len(ids) - len(rows))
