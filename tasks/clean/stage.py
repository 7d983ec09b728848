"""Rows of any known shape to canonical rows: checked, without duplicates, split, and every row accounted for.

    python -m tasks clean

In: `clean.input`, a folder or file of JSONL, JSON, CSV, TSV, Parquet, Arrow or text, also compressed. Out, in
`data/clean/`: `train.parquet`, `validation.parquet`, `test.parquet`; `left_out.parquet` (reason, file, line, row);
`reported.parquet` (what was found in rows that stay, their id, file and line, and the passage); `profile.json` for the
report; and `ledger.json`.
"""

from tasks.clean.settings import Settings
from tasks.core.declaration import Entry, Stage
from tasks.core.paths import PATHS, Paths

__all__ = ["STAGE", "Settings", "run", "validate"]


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings and the first rows."""
    from tasks.clean.first_rows import check_columns
    from tasks.clean.privacy.filter import PrivacyFilter
    from tasks.clean.quality import Filters

    Filters(settings.quality)
    PrivacyFilter(settings.privacy)
    for task in settings.benchmarks:
        from tasks.benchmarks import manager

        manager(task, paths.scoring, "clean.benchmarks")
    check_columns(settings, paths)


def run(settings: Settings, paths: Paths) -> None:
    """Clean the rows and write `data/clean`."""
    from tasks.clean.run import clean

    clean(settings, paths)


STAGE = Stage(
    name="clean",
    about="Reading, checking, deduplicating and splitting rows.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(
        Entry(
            inputs=("${clean.input}", PATHS.scoring),
            outputs=(
                *map(PATHS.rows, ("train", "validation", "test")),
                PATHS.clean / "left_out.parquet",
                PATHS.clean / "reported.parquet",
                PATHS.profile,
            ),
            metrics=(PATHS.ledger,),
        ),
    ),
)
