"""What limits the held-out rows, whatever is trained: answers that contradict each other, and too few for a mean."""

from collections.abc import Iterator
from typing import Any

from tasks.core.numbers import counted
from tasks.core.paths import PATHS

FEW = 20
"""Validation rows below which their number is named: one row is then 5 % of the loss, and more."""


def remarks(ledger: dict[str, Any], *, trained: bool, whole: bool) -> Iterator[str]:
    """A sentence on each limit. `ledger`: of the stage clean; `trained`: whether rows are to be trained on; `whole`:
    whether these are all rows."""
    for split in ("validation", "test"):
        rows = ledger["reported"].get(f"conflicting_answers_of_{split}", 0)
        if rows:
            yield (
                f"clean: {counted(rows, f'{split} rows')} share a request with another {split} row and differ in the "
                "rest: where their answers contradict each other, no model gets all of them right; see "
                f"{PATHS.clean}/reported.parquet after a run."
            )
    validation = ledger["out"].get("validation", 0)
    if trained and whole and 0 < validation < FEW:
        yield (
            f"clean: only {counted(validation, 'validation rows')}: the validation loss depends on the draw, and with "
            "it what train.patience would keep; raise clean.validation_share, or name more rows for validation."
        )
