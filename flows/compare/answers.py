"""Row by row, what runs answered: from DVC's cache, kept by hash in .dvc/tmp, and packed so that a page can hold it."""

import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.bridge import cached_files
from flows.compare.runs import Run
from flows.system.process import ask
from tasks.core.paths import PATHS

BUDGET = 24_000_000
"""Characters of answers on a page, about; those of the newest runs come first, the others have none."""


class Packed:
    """Rows and texts that many runs share, each once, and for each run numbers that point to them."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], int] = {}
        self.prompts: list[str] = []
        self.texts: dict[str, int] = {}
        self.size = 0
        """Characters so far, about."""

    def add(self, answers: dict[str, Any], metric: str) -> dict[str, Any]:
        """What stands at the run: its rows, its answers, and its scores by `metric`."""
        scores = answers["scores"].get(metric) or [None] * len(answers["ids"])
        packed: dict[str, Any] = {"rows": [], "texts": [], "scores": [_short(score) for score in scores]}
        columns = (answers[name] for name in ("ids", "references", "prompts", "outputs"))
        for row_id, reference, prompt, output in zip(*columns, strict=True):
            row = (str(row_id), reference or "")
            if row not in self.rows:
                self.rows[row] = len(self.rows)
                self.prompts.append(prompt or "")
                self.size += len(row[0]) + len(row[1]) + len(self.prompts[-1])
            packed["rows"].append(self.rows[row])
            packed["texts"].append(self._text(output or ""))
        self.size += 14 * len(scores)
        return packed

    def _text(self, text: str) -> int:
        if text not in self.texts:
            self.texts[text] = len(self.texts)
            self.size += len(text)
        return self.texts[text]

    def as_json(self) -> dict[str, Any]:
        """What all runs share."""
        rows = [
            {"id": row_id, "reference": reference, "prompt": prompt}
            for (row_id, reference), prompt in zip(self.rows, self.prompts, strict=True)
        ]
        return {"rows": rows, "texts": list(self.texts)}


def answers(runs: Sequence[Run]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What runs share, and by commit what each of them adds; a run whose answers are not at hand has nothing."""
    folders = {run.commit: hash_ for run in runs if (hash_ := _folder(run))}
    _fetch({hash_ for hash_ in folders.values() if not _kept(hash_).is_file()})
    packed, by_commit = Packed(), {}
    for run in runs:
        hash_ = folders.get(run.commit)
        if hash_ is None or packed.size >= BUDGET or not _kept(hash_).is_file():
            continue
        content = json.loads(_kept(hash_).read_text(encoding="utf-8"))
        by_commit[run.commit] = packed.add(content, str(run.decision["metric"]))
    return packed.as_json(), by_commit


def _folder(run: Run) -> str | None:
    """The hash of the folder with the predictions of the candidate that decides."""
    if not run.decision:
        return None
    path = str(PATHS.evaluation("") / str(run.decision["candidate"]))
    return next((outs[path] for outs in run.outs.values() if path in outs), None)


def _kept(folder: str) -> Path:
    return PATHS.answers / f"{folder.removesuffix('.dir')}.json"


def _fetch(folders: set[str]) -> None:
    """Keep the answers in `folders`, as far as DVC's cache has them."""
    if not folders or not (files := cached_files(folders, "predictions.parquet", _tell)):
        return
    PATHS.answers.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="temper-") as folder:
        listed = Path(folder) / "list.json"
        listed.write_text(json.dumps({str(_kept(hash_)): str(file) for hash_, file in files.items()}), encoding="utf-8")
        ask("tasks.pages.answers", str(listed)).checked()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def forget(runs: Sequence[Run]) -> None:
    """Remove what is kept of runs that are gone."""
    wanted = {_kept(hash_).name for run in runs if (hash_ := _folder(run))}
    for file in PATHS.answers.glob("*"):
        if file.name not in wanted:
            file.unlink(missing_ok=True)


def _short(score: Any) -> float | None:
    known = isinstance(score, int | float) and math.isfinite(score)
    return (round(score) if score in (0, 1) else round(score, 4)) if known else None
