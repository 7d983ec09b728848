"""Rows of any known shape to canonical rows: checked, without duplicates, split, and every row accounted for.

    python -m tasks clean

In: `clean.input`, a folder or file of JSONL, JSON, CSV, TSV or Parquet. Out: `data/clean/` with `train.parquet`,
`validation.parquet`, `test.parquet`, `left_out.parquet` (reason, file, line, row) and `ledger.json`.
"""

from typing import Literal

from pydantic import Field

from tasks.contract.paths import Paths
from tasks.contract.settings import Settings as Section


class Splits(Section):
    """Which files make which split: glob patterns below `clean.input`; where all are empty, every data file is read."""

    train: tuple[str, ...] = ()
    """Patterns of files whose rows are for training."""
    validation: tuple[str, ...] = ()
    """Patterns of files whose rows are for validation."""
    test: tuple[str, ...] = ()
    """Patterns of files whose rows are for the test."""


class Settings(Section):
    """Section `clean` of params.yaml."""

    input: str = "data/generated"
    """Folder or file with the rows; a path from the project's root."""
    splits: Splits = Splits()
    """Which files make which split. Without patterns a row's own key `split` decides."""
    shape: Literal["auto", "messages", "alpaca", "sharegpt", "prompt_completion", "text"] = "auto"
    """Shape of the rows; `auto` recognises each row by its keys."""
    alpaca_instruction: bool = True
    """Whether an Alpaca row that has an input keeps its instruction, as a paragraph before the input."""
    validation_share: float = Field(0.05, ge=0, lt=1)
    """Share of rows (0 to 1) taken from training by hash for validation, where no row is given to it."""
    test_share: float = Field(0.0, ge=0, lt=1)
    """Share of rows (0 to 1) taken from training by hash for the test, where no row is given to it."""
    duplicates: bool = True
    """Whether rows that stand twice leave: within a split, and from training where validation or test ask the same."""
    near_duplicate: float | None = Field(0.8, gt=0, le=1)
    """Jaccard similarity of words (0 to 1) from which a row is too like a test row to be trained on; null: off."""
    max_chars: int | None = Field(100_000, ge=1)
    """Longest row (characters, all turns together); null: any length."""
    max_loss: float = Field(0.2, ge=0, le=1)
    """Share of rows (0 to 1) that may leave before the stage fails."""


def run(settings: Settings, paths: Paths) -> None:
    """Clean the rows and write `data/clean`."""
    from tasks.clean.rows import clean

    clean(settings, paths)
