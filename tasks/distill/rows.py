"""Rows as a teacher is asked about them, and with what it said, on disk (Arrow IPC stream).

Shapes: `T` tokens of a row, `K` positions of it that are predicted and have a label, `W` tokens at each: the likeliest
ones and the row's own. Lists of `K` times `W` values have those of a position side by side.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.rows.canonical import IGNORED
from tasks.teacher.scores import asked
from tasks.teacher.settings import Form

BATCH = 500
"""Rows that are asked, and written, at a time."""

_IDS = pa.list_(pa.int32())

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("input_ids", _IDS),
        ("labels", _IDS),
        ("top_ids", _IDS),
        ("top_logprobs", pa.list_(pa.float32())),
    ]
)
"""Rows for the objective distill: what template made, and at each of `K` positions `W` tokens with their
log-probabilities in nats. Where the teacher told fewer, id 0 with -inf fills up."""


def spans(labels: list[int]) -> list[list[int]]:
    """Stretches [start, end) of `labels` (T) with a label; not the first token, which nothing predicts."""
    labelled = np.flatnonzero(np.asarray(labels[1:]) != IGNORED) + 1
    ends = [0, *(np.flatnonzero(np.diff(labelled) > 1) + 1).tolist(), len(labelled)]
    return [[int(labelled[a]), int(labelled[b - 1]) + 1] for a, b in pairwise(ends)] if len(labelled) else []


def question(row: dict[str, Any], top: int, form: Form) -> dict[str, Any]:
    """What a teacher is asked about `row`: its tokens up to the last labelled one."""
    wanted = spans(row["labels"])
    ids = row["input_ids"][: wanted[-1][1]] if wanted else []
    return {"content": {"ids": ids, "spans": wanted}, **asked(form, top)}


def batches(rows: Any) -> Iterator[list[dict[str, Any]]]:
    """The rows, so many at a time, without those of which no token is predicted and labelled."""
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        listed = [dict(zip(part, values, strict=True)) for values in zip(*part.values(), strict=True)]
        yield [row for row in listed if spans(row["labels"])]


def record_batch(rows: list[dict[str, Any]], scores: list[Any], width: int) -> Any:
    """`rows` with the scores of each (K lists of at most W ids and log-probabilities), as they are written."""
    filled = []
    for row, scored in zip(rows, scores, strict=True):
        ids = np.zeros((len(scored), width), dtype=np.int32)
        logprobs = np.full((len(scored), width), -np.inf, dtype=np.float32)
        for position, (tokens_there, values) in enumerate(scored):
            ids[position, : len(tokens_there)], logprobs[position, : len(values)] = tokens_there, values
        columns = {name: row[name] for name in ("id", "input_ids", "labels")}
        filled.append({**columns, "top_ids": ids.ravel(), "top_logprobs": logprobs.ravel()})
    return pa.RecordBatch.from_pylist(filled, schema=SCHEMA)
