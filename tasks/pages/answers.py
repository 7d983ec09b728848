"""Answers of one candidate, row by row, for a page: `python -m tasks.pages.answers LIST`.

In: LIST, a JSON object of file to write -> predictions.parquet to read. Out: those files, JSON with a list for each of
`ids`, `prompts`, `references`, `outputs`, and `scores`, a list a metric.
"""

import json
import sys
from pathlib import Path

from tasks.core.reporting import guarded
from tasks.rows.columns import RESERVED
from tasks.rows.parquet import read_table


def extract(listed: Path) -> None:
    """Write what the files in the list hold of each row."""
    for target, source in json.loads(listed.read_text(encoding="utf-8")).items():
        table = read_table(source)
        metrics = [name for name in table.column_names if name not in RESERVED and not name.endswith("_tokens")]
        names = {"ids": "id", "prompts": "prompt", "references": "reference", "outputs": "output"}
        columns = {key: table.column(name).to_pylist() for key, name in names.items()}
        scores = {name: table.column(name).to_pylist() for name in metrics}
        aside = Path(f"{target}.aside")  # not written through to the disk: whoever finds none makes it again
        aside.write_text(json.dumps({**columns, "scores": scores}, ensure_ascii=False), encoding="utf-8")
        aside.replace(target)


if __name__ == "__main__":
    sys.exit(guarded("compare", lambda: extract(Path(sys.argv[1]))))
