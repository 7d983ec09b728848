"""Row by row, what runs answered: from DVC's cache, kept by hash in .dvc/tmp, and packed so that a page can hold it."""

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flows.bridge import cached_files
from flows.compare.runs import Run
from flows.system.process import ask
from tasks.core.paths import PATHS

BUDGET = 24_000_000
"""Characters of answers on a page, about; those of the newest runs come first, the others have none."""

WHOLE = 100
"""Runs, the newest, with the answers of every candidate on the page; the others have those of the one that decides."""

ROWS = "rows-"
"""How the name of a file begins that has the rows of many folders of predictions."""


class Packed:
    """Rows and texts that many runs share, each once, and for each run numbers that point to them."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], int] = {}
        self.prompts: list[str] = []
        self.texts: dict[str, int] = {}
        self.sets: list[list[int]] = []
        """Numbers of the rows that a candidate was asked, in order."""
        self._set_of: dict[int, tuple[int, dict[str, Any]]] = {}
        self.size = 0
        """Characters so far, about."""

    def add(self, answers: dict[str, Any], rows: dict[str, Any], metric: str) -> dict[str, Any]:
        """What stands at the run: the number of its set of rows, its answers, and its scores by `metric`.

        `answers` and `rows` as `tasks.pages.answers` writes them; the same object of rows is looked at once.
        """
        scores = answers["scores"].get(metric) or [None] * len(answers["outputs"])
        self.size += 14 * len(scores)
        return {
            "rows": self._set(rows),
            "texts": [self._text(output or "") for output in answers["outputs"]],
            "scores": [int(score) if score in (0, 1) else _short(score) for score in scores],
        }

    def _set(self, rows: dict[str, Any]) -> int:
        if id(rows) not in self._set_of:
            columns = (rows[column] for column in ("ids", "references", "prompts"))
            self.sets.append([self._row(*row) for row in zip(*columns, strict=True)])
            self.size += 7 * len(self.sets[-1])
            self._set_of[id(rows)] = (len(self.sets) - 1, rows)  # which stays, so that its id is nobody else's
        return self._set_of[id(rows)][0]

    def _row(self, row_id: Any, reference: str | None, prompt: str | None) -> int:
        row = (str(row_id), reference or "")
        if row not in self.rows:
            self.rows[row] = len(self.rows)
            self.prompts.append(prompt or "")
            self.size += len(row[0]) + len(row[1]) + len(self.prompts[-1])
        return self.rows[row]

    def _text(self, text: str) -> int:
        number = self.texts.setdefault(text, len(self.texts))
        if number == len(self.texts) - 1:
            self.size += len(text)
        return number

    def as_json(self) -> dict[str, Any]:
        """What all runs share."""
        rows = [
            {"id": row_id, "reference": reference, "prompt": prompt}
            for (row_id, reference), prompt in zip(self.rows, self.prompts, strict=True)
        ]
        return {"rows": rows, "texts": list(self.texts), "sets": self.sets}


def answers(runs: Sequence[Run]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What runs share, and by commit what each of them adds, by candidate; nothing of answers that are not at hand."""
    wanted, kept = list(_wanted(runs)), _kept()
    if missing := {hash_ for *_, hash_ in wanted if hash_ not in kept}:
        _fetch(missing)
        kept = _kept()
    read = cache(_read)
    packed = Packed()
    by_commit: dict[str, dict[str, Any]] = {}
    for run, candidate, hash_ in wanted:
        if packed.size >= BUDGET:
            break
        if hash_ in kept and (content := _read(kept[hash_])) and (rows := read(_rows_of(kept[hash_]))):
            packed_answers = packed.add(content, rows, str(run.decision["metric"]))
            by_commit.setdefault(run.commit, {})[candidate] = packed_answers
    return packed.as_json(), by_commit


def _wanted(runs: Sequence[Run]) -> Iterator[tuple[Run, str, str]]:
    """Runs with a candidate and the hash of its folder of predictions: first the one that decides, of every run."""
    folder = str(PATHS.evaluation(""))
    evaluated = [
        (run, {path: hash_ for outs in run.outs.values() for path, hash_ in outs.items() if path.startswith(folder)})
        for run in runs
        if run.decision
    ]
    for run, hashes in evaluated:
        candidate = str(run.decision["candidate"])
        if hash_ := hashes.get(f"{folder}/{candidate}"):
            yield run, candidate, hash_
    for run, hashes in evaluated[:WHOLE]:
        for candidate in dict.fromkeys(key.candidate for key in run.scores if not key.task):
            if candidate != run.decision["candidate"] and (hash_ := hashes.get(f"{folder}/{candidate}")):
                yield run, candidate, hash_


def _kept() -> dict[str, str]:
    """The names of files with answers, by the hash of their folder."""
    names = (file.name for file in os.scandir(PATHS.answers)) if PATHS.answers.is_dir() else ()
    return {f"{name.split('.')[0]}.dir": name for name in names if name.count(".") == 2 and name.endswith(".json")}


def _rows_of(name: str) -> str:
    return f"{ROWS}{name.split('.')[1]}.json"


def _read(name: str) -> dict[str, Any] | None:
    try:
        value = json.loads((PATHS.answers / name).read_bytes())
    except (OSError, ValueError):  # somebody else's `temper compare` has removed it
        return None
    return value if isinstance(value, dict) else None


def _fetch(folders: set[str]) -> None:
    """Keep the answers in `folders`, as far as DVC's cache has them."""
    if not (files := cached_files(folders, "predictions.parquet", _tell)):
        return
    PATHS.answers.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="temper-") as folder:
        listed = Path(folder) / "list.json"
        beginnings = {str(PATHS.answers / hash_.removesuffix(".dir")): str(file) for hash_, file in files.items()}
        listed.write_text(json.dumps(beginnings), encoding="utf-8")
        ask("tasks.pages.answers", str(listed)).checked()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def forget(runs: Sequence[Run]) -> None:
    """Remove what is kept of runs that are gone."""
    hashes = {hash_ for *_, hash_ in _wanted(runs)}
    names = {name for hash_, name in _kept().items() if hash_ in hashes}
    wanted = {*names, *map(_rows_of, names)}
    for file in PATHS.answers.glob("*"):
        if file.name not in wanted:
            file.unlink(missing_ok=True)


def _short(score: Any) -> float | None:
    return round(score, 4) if isinstance(score, int | float) and math.isfinite(score) else None
