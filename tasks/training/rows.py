"""The rows that are trained: token ids and labels, memory-mapped, and their counts."""

from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.errors import CheckFailed, InputError
from tasks.core.paths import PATHS
from tasks.rows.canonical import IGNORED

AGAIN = "remove the file and run the stage that wrote it again"


@dataclass(frozen=True)
class Counts:
    """How much there is to train on; must agree between the audit and the trainer (INV-8)."""

    rows: int
    tokens: int
    supervised_tokens: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def load(path: Path) -> Any:
    """The rows in `path` (Arrow IPC stream; columns input_ids and labels) as a memory-mapped `datasets.Dataset`.

    Raises `InputError` where there is no such file, or it is none that a stage wrote.
    """
    from datasets import Dataset
    from pyarrow import ArrowInvalid

    if not path.is_file():
        raise InputError(f"{path}: no such file; run the stage template first.")
    try:
        return Dataset.from_file(str(path))
    except (ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not rows as a stage writes them ({error}); {AGAIN}.") from None


def count(dataset: Any) -> Counts:
    """Rows, tokens and supervised tokens of `dataset`, read from its Arrow columns."""
    import pyarrow.compute as pc

    table = dataset.data
    batches = table.column("labels").chunks  # one after the other: flattened, a column is a copy
    return Counts(
        rows=dataset.num_rows,
        tokens=pc.sum(pc.list_value_length(table.column("input_ids"))).as_py() or 0,
        supervised_tokens=sum(pc.sum(pc.not_equal(batch.flatten(), IGNORED)).as_py() or 0 for batch in batches),
    )


def check(counts: Counts, expected: dict[str, int], what: str) -> None:
    """Raise where the trainer would see other rows or tokens than the audit counted."""
    differing = {
        name: (value, expected[name]) for name, value in counts.as_dict().items() if value != expected.get(name)
    }
    if differing:
        differences = ", ".join(
            f"{name} {counted} instead of {wanted}" for name, (counted, wanted) in differing.items()
        )
        raise CheckFailed(f"{what}: the trainer sees {differences}; run the stage template again.")
    if not counts.supervised_tokens:
        raise CheckFailed(f"{what}: {counts.rows} rows, but no token has a loss; see {PATHS.preview}.")


def last_answer(trained: Any) -> tuple[int, int] | None:
    """Where the last stretch of trained tokens of a row begins and ends; None where it has none.

    `trained` (T,): of each token whether it carries a loss.

    >>> last_answer(np.array([False, True, False, True, True, False]))
    (3, 5)
    """
    positions = np.flatnonzero(trained)
    if not len(positions):
        return None
    last = int(positions[-1])
    before = np.flatnonzero(~trained[:last])
    return (int(before[-1]) + 1 if len(before) else 0), last + 1


def texts_of(row: dict[str, Any]) -> list[list[int]]:
    """The texts of a row for embeddings: the question, its document, the wrong documents.

    >>> texts_of({"input_ids": [5, 9, 7, 2], "lengths": [2, 1, 1]})
    [[5, 9], [7], [2]]
    """
    return [row["input_ids"][start:end] for start, end in pairwise(accumulate(row["lengths"], initial=0))]
