"""What is answered already, so that an evaluation that was killed goes on where it was.

Rows are recorded as soon as their batch is done, and never asked again; at most those batches are that were worked on.
Rows of such a batch that were done before the kill are asked once more with it: it takes as long as its longest row
either way, and without them the others would be computed in another shape, which may turn a close decision, so that the
outputs would tell of the kill.

A batch's key is the hash of its token ids and of all that decides its answers; the record's name is the hash of the
model, the tokenizer and the machinery. Nothing else can be answered from it, and the stage removes it at its end: no
later run finds a stale answer.
"""

import json
import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.core.files import fingerprint, sha256
from tasks.models.record import SMALL

LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "bitsandbytes")


class AnswerStore:
    """A file of lines, one a batch. A line that was cut by a kill does not count."""

    def __init__(self, folder: Path, identity: str) -> None:
        """Open the record of `identity` in `folder`; records of anything else there are removed."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{identity[:32]}.jsonl"
        for stale_file in folder.iterdir():
            if stale_file != self._file:
                stale_file.unlink()
        self._known: dict[str, Any] = {}
        complete_bytes = 0
        self._file.touch()
        for line in self._file.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            complete_bytes += len(line)
            entry = json.loads(line)
            self._known[entry["key"]] = entry["answers"]
        os.truncate(self._file, complete_bytes)

    def each(self, batches: list[Any], compute: Callable[[list[Any]], Iterator[list[Any]]]) -> Iterator[list[Any]]:
        """The answers to each of `batches` (JSON values): those on record, or what `compute` gives of the others.

            store.each([[[1, 2, 3]]], lambda unknown: iter([[["an answer", 2, "stop"]]]))

        They are recorded as they come. Answers are JSON values, so a tuple comes back as a list.
        """
        keys = [fingerprint(batch) for batch in batches]
        unknown = {key: batch for key, batch in zip(keys, batches, strict=True) if key not in self._known}
        computed = compute(list(unknown.values())) if unknown else iter(())
        for key in keys:
            if key not in self._known:
                self._known[key] = json.loads(json.dumps(next(computed)))
                with self._file.open("ab") as file:
                    file.write(json.dumps({"key": key, "answers": self._known[key]}).encode() + b"\n")
            yield self._known[key]


def identity(folders: list[Path], facts: Any) -> str:
    """A hash of the files in `folders`, of `facts` (a JSON value) and of the libraries that compute.

    Large files go in by size and time of change: an unfinished evaluation goes on in the same place.
    """
    files = [
        [str(file.relative_to(folder)), sha256(file) if stat.st_size <= SMALL else [stat.st_size, stat.st_mtime_ns]]
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file() and (stat := file.stat())
    ]
    return fingerprint([files, facts, {name: version(name) for name in LIBRARIES}])
