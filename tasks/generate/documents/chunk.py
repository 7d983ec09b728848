"""Markdown cut where its sections and paragraphs end, each piece with its place: headings, lines, page."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.bounds.child import in_child
from tasks.core.errors import InputError
from tasks.generate.documents.read import SECONDS, SPEED, Document

_HEADING = re.compile(r"(#{1,6})[ \t]+(?=[^ \t])")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")


@dataclass(frozen=True)
class Chunk:
    """A piece of a document."""

    document: str
    number: int
    """Which piece of its document, from 0."""
    text: str
    headings: tuple[str, ...]
    """Headings that it stands under, the highest first."""
    lines: tuple[int, int]
    """First and last line in the file, from 1; of the extracted text for HTML, DOCX and PDF."""
    page: int | None = None
    """Page on which it begins, from 1; for PDF."""

    def source(self) -> dict[str, Any]:
        """Where it stands, for the provenance of a row."""
        source: dict[str, Any] = {"document": self.document, "chunk": self.number, "headings": list(self.headings)}
        return {**source, "lines": list(self.lines), **({"page": self.page} if self.page else {})}


def chunks(document: Document, longest: int) -> Iterator[Chunk]:
    """The pieces of `document`, each at most `longest` characters, none across two sections if both are long enough.

    Sections and blocks are told apart by the CommonMark parser of semantic-text-splitter, which leaves code blocks and
    tables whole where they fit.
    """
    from semantic_text_splitter import MarkdownSplitter

    def cut() -> tuple[list[tuple[int, str]], list[int], list[tuple[str, ...]]]:
        return [*MarkdownSplitter(longest).chunk_indices(document.text)], *_headings(document.text)

    def refuse(why: str) -> InputError:
        return InputError(f"{document.name}: it cannot be split into chunks ({why}); fix the document, or remove it.")

    pieces, starts, paths = in_child(cut, SECONDS + len(document.text) / SPEED, refuse)
    breaks = [newline.start() for newline in re.finditer("\n", document.text)]
    for number, (start, text) in enumerate(pieces):
        end = start + len(text)
        first, last = bisect_right(breaks, start - 1) + 1, bisect_right(breaks, max(start, end - 1) - 1) + 1
        at = bisect_right(starts, start) - 1
        page = bisect_right(document.pages, start) if document.pages else None
        yield Chunk(document.name, number, text, paths[at] if at >= 0 else (), (first, last), page)


def _headings(text: str) -> tuple[list[int], list[tuple[str, ...]]]:
    """Where each heading begins (characters), and the headings that hold from there on; none inside code fences."""
    starts: list[int] = []
    paths: list[tuple[str, ...]] = []
    path: list[tuple[int, str]] = []
    fence, at = "", 0
    for line in text.split("\n"):
        if fence_line := _FENCE.match(line):
            if not fence:
                fence = fence_line[1]
            elif fence_line[1].startswith(fence):
                fence = ""
        elif not fence and (heading := _HEADING.match(line)):
            level, rest = len(heading[1]), line[heading.end() :]
            title = rest.rstrip("#").rstrip(" \t") or rest[0]
            path = [*(above for above in path if above[0] < level), (level, title)]
            starts.append(at)
            paths.append(tuple(name for _, name in path))
        at += len(line) + 1
    return starts, paths
