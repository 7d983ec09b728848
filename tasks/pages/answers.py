"""Answers of candidates, row by row, for a page: `python -m tasks.pages.answers LIST`.

In: LIST, a JSON object of the beginning of a file to write -> predictions.parquet. Out: BEGINNING.ROWS.json with
a list of `outputs`, and `scores`, a list a metric; and beside it rows-ROWS.json, which many of them share, with a list
for each of `ids`, `prompts` and `references`. ROWS is a hash of these.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tasks.core.files import fingerprint
from tasks.core.reporting import guarded
from tasks.rows.columns import RESERVED
from tasks.rows.parquet import read_table


def extract(listed: Path) -> None:
    """Write what the files in the list hold of each row."""
    for beginning, source in json.loads(listed.read_text(encoding="utf-8")).items():
        table = read_table(source)
        metrics = [name for name in table.column_names if name not in RESERVED and not name.endswith("_tokens")]
        names = {"ids": "id", "prompts": "prompt", "references": "reference"}
        rows = {key: table.column(name).to_pylist() for key, name in names.items()}
        name = fingerprint(rows)[:32]
        if not (shared := Path(beginning).with_name(f"rows-{name}.json")).is_file():
            _write(shared, rows)
        scores = {name: table.column(name).to_pylist() for name in metrics}
        _write(Path(f"{beginning}.{name}.json"), {"outputs": table.column("output").to_pylist(), "scores": scores})


def _write(file: Path, content: dict[str, Any]) -> None:
    aside = file.with_name(f"{file.name}.aside")  # not written through to the disk: whoever finds none makes it again
    aside.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    aside.replace(file)


if __name__ == "__main__":
    sys.exit(guarded("compare", lambda: extract(Path(sys.argv[1]))))
