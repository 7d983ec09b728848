"""Files to Markdown: each format by a library that is kept for it, all to the one form that is cut into chunks."""

import logging
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from tasks.bounds.child import in_child
from tasks.core.errors import InputError


@dataclass(frozen=True)
class Document:
    """One file as Markdown."""

    name: str
    """Path below the input folder, with forward slashes."""
    text: str
    pages: tuple[int, ...] = ()
    """Where each page begins, in characters; for PDF."""


@dataclass(frozen=True)
class File:
    """A file that is a document: where it lies, or with its bytes where it is to travel."""

    path: Path
    name: str
    """Path below the input folder, with forward slashes."""
    carried: bytes | None = None
    known_size: int | None = None

    @property
    def content(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes() if self.carried is None else self.carried

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size if self.known_size is None else self.known_size

    def with_content(self) -> "File":
        """The same, to be read where the file is not; one that is too large is refused there, by its size alone."""
        size = self.size
        return replace(self, carried=b"" if size > LARGEST else self.content, known_size=size)


def files(folder: Path, where: str, left: Counter[str] | None = None) -> Iterator[File]:
    """The documents in `folder`, by name; hidden files and those of unknown kinds are passed over.

    `left` counts files that are passed over, by ending. Raises `InputError` where there is no document at all (`where`
    is the folder as the user calls it).
    """
    if not folder.is_dir():
        raise InputError(f"generate.input = {where}: no such folder; name the folder with the documents.")
    count = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode(errors="backslashreplace").decode()
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix.lower() in READERS:
            count += 1
            yield File(path, name)
        elif left is not None:
            left[path.suffix.lower() or path.name] += 1
    if not count:
        raise InputError(f"generate.input = {where}: no document in it; known kinds: {', '.join(READERS)}.")


def documents(folder: Path, where: str, left: Counter[str] | None = None) -> Iterator[Document]:
    """The documents in `folder` with their texts; `left` counts `empty` ones too, which are passed over.

    Raises `InputError` where there is none, or one cannot be read.
    """
    for file in files(folder, where, left):
        document = read(file)
        if document.text.strip():
            yield document
        elif left is not None:
            left["empty"] += 1


def read(file: File) -> Document:
    """The document, read within bounds. Raises `InputError` where it is too large, nested too deep, or a bomb."""
    path, size = file.path, file.size
    if size > LARGEST:
        raise InputError(f"{path}: {size:,} bytes are more than the {LARGEST:,} of a document; cut it into several.")

    def refuse(why: str) -> InputError:
        return InputError(f"{path}: the document cannot be read ({why}); fix it, or remove it.")

    document = in_child(lambda: READERS[path.suffix.lower()](file), SECONDS + size / SPEED, refuse)
    if len(document.text) > LONGEST:
        raise InputError(
            f"{path}: {len(document.text):,} characters of text are more than the {LONGEST:,} of a document; cut it "
            "into several."
        )
    return document


def _text(file: File) -> Document:
    """Plain text and Markdown, in UTF-8 or in what its byte order mark says; front matter is left out."""
    text = _decoded(file)
    if file.path.suffix.lower() in (".md", ".markdown"):
        text = re.sub(
            r"\A---\n.*?\n---\n",
            lambda front_matter: "\n" * front_matter[0].count("\n"),
            text,
            count=1,
            flags=re.DOTALL,
        )
    return Document(file.name, text)


def _html(file: File) -> Document:
    return Document(file.name, _markdown(_decoded(file)))


def _docx(file: File) -> Document:
    import mammoth

    try:
        content = BytesIO(file.content)
        with zipfile.ZipFile(content) as archive:
            size = sum(part.file_size for part in archive.infolist())
        if size > UNPACKED:
            raise InputError(
                f"{file.path}: it unpacks to {size:,} bytes, more than the {UNPACKED:,} of a document; remove it."
            )
        return Document(file.name, _markdown(mammoth.convert_to_html(content).value))
    except InputError:
        raise
    except Exception as error:  # zipfile, xml and mammoth raise whatever they like at a broken file
        raise _unreadable(file.path, "a Word document (.docx)", error) from None


def _pdf(file: File) -> Document:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = PdfReader(BytesIO(file.content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError(f"{file.path}: the PDF has a password; remove the password or the file.")
        texts = [page.extract_text() for page in reader.pages]
    except InputError:
        raise
    except Exception as error:  # a broken PDF breaks in many ways
        raise _unreadable(file.path, "a PDF", error) from None
    pages, at = [], 0
    for text in texts:
        pages.append(at)
        at += len(text) + 2
    return Document(file.name, "\n\n".join(texts), tuple(pages))


def _decoded(file: File) -> str:
    raw = file.content
    encoding = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file.path}: not UTF-8 at byte {error.start}; convert it (iconv -f latin1 -t utf-8), or remove it."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _markdown(html: str) -> str:
    """HTML as Markdown, without scripts, styles, and what surrounds the content of a page."""
    from bs4 import BeautifulSoup
    from markdownify import markdownify

    soup = BeautifulSoup(html, "html.parser")
    for part in soup(["script", "style", "noscript", "template", "nav", "head"]):
        part.decompose()
    text = markdownify(str(soup), heading_style="ATX", strip=["img"])
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _unreadable(path: Path, kind: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    detail = f"{type(error).__name__}: {reason}"
    return InputError(f"{path}: not {kind} that can be read ({detail}); fix it, or remove it.")


LARGEST, LONGEST = 2**27, 2**23
"""Bytes of the largest file that is a document, and characters of the longest text."""

UNPACKED = 2**26
"""Bytes of all parts of a Word document together."""

SECONDS, SPEED = 20.0, 2**18
"""Of computing for any document, and how many bytes of one get a second more."""

MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Byte order marks, and the encoding that each announces."""

READERS: dict[str, Callable[[File], Document]] = {
    ".md": _text, ".markdown": _text, ".txt": _text, ".html": _html, ".htm": _html, ".docx": _docx, ".pdf": _pdf,
}  # fmt: skip
"""Known endings, and who reads them."""
