"""Keep the scores of a run, row by row, as the best so far: `python -m tasks.decide.best FOLDER`.

In: FOLDER, which the evaluation of a candidate left.

Out: data/best/scores.parquet: the row's id, and a column for each metric, more being better; for scores of classes also
the class of each reference and answer.
"""

import sys
from pathlib import Path

from tasks.core.files import written
from tasks.core.paths import Paths
from tasks.core.reporting import guarded
from tasks.decide.evidence import load_candidate
from tasks.rows.columns import class_columns


def save_scores(paths: Paths, evaluated: Path) -> None:
    """Write data/best/scores.parquet from the predictions in `evaluated`, which may be a folder of another run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    candidate = load_candidate(evaluated)
    columns = {"id": candidate.columns["id"], **{metric: candidate.goodness(metric) for metric in candidate.better}}
    for of in sorted({score["classes"] for score in candidate.scores["metrics"].values() if "classes" in score}):
        columns |= {name: candidate.columns[name] for name in class_columns(of)}
    with written(paths.best / "scores.parquet") as aside:
        pq.write_table(pa.table(columns), aside)


if __name__ == "__main__":
    sys.exit(guarded("decide", lambda: save_scores(Paths(), Path(sys.argv[1]))))
