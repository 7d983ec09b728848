"""What stands nearest to a question by its words (BM25): rows of the training split, or passages of documents.

Nothing of the test is ever found: rows come from the training split, from which `clean` has taken what is near to a row
of the test, and a row that asks the same as one that is asked is left out, as `base_few_shot` leaves it out.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate.questions import question
from tasks.evaluate.settings import Settings
from tasks.generate.documents import chunks, documents
from tasks.generate.documents.read import READERS
from tasks.named.names import inside

Row = dict[str, Any]

WORD = re.compile(r"\w+")

PASSAGE = 1000
"""Characters of a passage at most."""

DECIMALS = 4
"""Of a score: what differs by less ranks as equal, in the order of ids."""


class Nearest:
    """Texts, and which of them share the rarest words with a query."""

    def __init__(self, texts: list[str]) -> None:
        from bm25s import BM25

        words = [_words(text) for text in texts]
        self._numbers = {word: at for at, word in enumerate(sorted({word for part in words for word in part}))}
        self._count = len(texts)
        self._index = BM25(method="lucene") if self._numbers else None
        if self._index:
            numbered = [[self._numbers[word] for word in part] for part in words]
            self._index.index((numbered, self._numbers), create_empty_token=False, show_progress=False)

    def to(self, query: str, count: int) -> list[int]:
        """Numbers of the `count` texts nearest to `query`, the nearest first; texts as near as others by number."""
        known = [self._numbers[word] for word in _words(query) if word in self._numbers]
        scores = np.zeros(self._count)
        if known and self._index:
            scores = np.round(np.asarray(self._index.get_scores_from_ids(known), float), DECIMALS)
        return [int(at) for at in np.lexsort((np.arange(self._count), -scores))[:count]]


def nearest_rows(train: list[Row], held_out: list[Row], count: int) -> list[list[Row]]:
    """For each of `held_out` the `count` rows of `train` whose questions are nearest, the nearest first."""
    asked = {question(row) for row in held_out}
    kept = [row for row in sorted(train, key=lambda row: str(row["id"])) if question(row) not in asked]
    index = Nearest([question(row) for row in kept])
    return [[kept[at] for at in index.to(question(row), count)] for row in held_out]


def check_documents(candidate: str, settings: Settings, paths: Paths) -> Path:
    """The folder with the documents that `candidate` sees; raises `InputError` where it holds none."""
    where = f"evaluate.documents.{candidate}"
    folder = inside(paths.root, settings.documents[candidate], where)
    if not any(file.suffix.lower() in READERS for file in folder.rglob("*")):
        raise InputError(
            f"{where} = {settings.documents[candidate]}: no document in it; known kinds: {', '.join(READERS)}. Name "
            "the folder with the documents, or remove the entry."
        )
    return folder


def nearest_passages(folder: Path, held_out: list[Row], count: int) -> list[list[str]]:
    """For each of `held_out` the `count` passages of the documents in `folder` that are nearest to its question."""
    passages = [
        piece.text for document in documents(folder, "evaluate.documents") for piece in chunks(document, PASSAGE)
    ]
    index = Nearest(passages)
    return [[passages[at] for at in index.to(question(row), count)] for row in held_out]


def with_passages(passages: list[str]) -> str | None:
    """A system prompt with passages, the nearest last, beside the question; None for none."""
    if not passages:
        return None
    return "\n\n".join(["Answer by these passages:", *reversed(passages)])


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())
