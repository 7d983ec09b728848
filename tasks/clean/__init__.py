"""Rows of any known shape to canonical rows: checked, without duplicates, split, and every row accounted for.

    python -m tasks clean

In: `clean.input`, a folder or file of JSONL, JSON, CSV, TSV, Parquet, Arrow or text, also compressed. Out, in
`data/clean/`: `train.parquet`, `validation.parquet`, `test.parquet`; `left_out.parquet` (reason, file, line, row);
`reported.parquet` (what was found in rows that stay, their id, file and line, and the passage); `profile.json` for the
report; and `ledger.json`.
"""

from tasks.clean.settings import Settings
from tasks.contract.paths import Paths

__all__ = ["Settings", "refuse", "run"]


def refuse(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings alone."""
    from tasks.clean.privacy.step import Step
    from tasks.clean.quality import Steps

    Steps(settings.quality)
    Step(settings.privacy)
    for task in settings.benchmarks:
        from tasks.contract.benchmarks import manager

        manager(task, paths.scoring, "clean.benchmarks")


def run(settings: Settings, paths: Paths) -> None:
    """Clean the rows and write `data/clean`."""
    from tasks.clean.rows import clean

    clean(settings, paths)
