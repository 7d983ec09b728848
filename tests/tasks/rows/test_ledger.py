"""A ledger adds up, or it stops the stage."""

import pytest

from tasks.core.errors import LossError
from tasks.rows.ledger import Ledger


def ledger(came: int, out: int, left: int) -> Ledger:
    filled = Ledger(came=came)
    filled.outs["train"] = out
    filled.left["duplicate"] = left
    return filled


def test_a_row_unaccounted_for_stops_the_stage() -> None:
    with pytest.raises(LossError, match="1 are unaccounted for"):
        ledger(10, 7, 2).check("clean")


def test_a_loss_beyond_the_limit_names_reasons_and_key() -> None:
    with pytest.raises(LossError, match=r"3 of 10 rows \(30.0%\).*clean.max_loss = 0.2 allows: duplicate 3"):
        ledger(10, 7, 3).check("clean", 0.2, "clean.max_loss")


def test_a_loss_within_the_limit_passes() -> None:
    ledger(10, 8, 2).check("clean", 0.2, "clean.max_loss")
