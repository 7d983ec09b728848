"""Documents to chunks, many documents at once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.engine.chosen import Engine
from tasks.generate.documents.chunk import Chunk, chunks
from tasks.generate.documents.read import File, files, read


@dataclass(frozen=True)
class Cutting:
    """Reads a document and cuts it into pieces."""

    longest: int
    """Characters of a piece."""

    def __call__(self, file: File) -> list[Chunk] | None:
        """The pieces; None of a document without text."""
        document = read(file)
        return list(chunks(document, self.longest)) if document.text.strip() else None


def cut(folder: Path, where: str, longest: int, left: Counter[str], engine: Engine) -> Iterator[Chunk]:
    """The pieces of all documents in `folder`, as `documents` and `chunks` have them; `left` counts what has none."""
    waiting = (file.with_content() if engine.remote else file for file in files(folder, where, left))
    for pieces in engine.ordered(Cutting(longest), waiting):
        if pieces is None:
            left["empty"] += 1
        yield from pieces or ()
