"""Rows of any known shape to canonical rows: checked, without duplicates, split, and every row accounted for.

    python -m tasks clean

In: `clean.input`, a folder or file of JSONL, JSON, CSV, TSV, Parquet, Arrow or text, also compressed. Out, in
`data/clean/`: `train.parquet`, `validation.parquet`, `test.parquet`; `left_out.parquet` (reason, file, line, row);
`reported.parquet` (what was found in rows that stay, their id, file and line, and the passage); `profile.json` for the
report; and `ledger.json`.
"""

from tasks.clean.settings import Settings
from tasks.contract.paths import Paths

__all__ = ["Settings", "run"]


def run(settings: Settings, paths: Paths) -> None:
    """Clean the rows and write `data/clean`."""
    from tasks.clean.rows import clean

    clean(settings, paths)
