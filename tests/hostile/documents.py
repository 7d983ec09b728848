"""Documents that are broken, lie, or unpack to far too much, before `generate` reads them."""

import io
import json
import os
import random
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.hostile.fork import Case
from tests.hostile.mutations import spoiled_bytes

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
OPEN = "http://schemas.openxmlformats.org"
TYPES = (
    f'<?xml version="1.0"?><Types xmlns="{OPEN}/package/2006/content-types"><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
RELATIONS = (
    f'<?xml version="1.0"?><Relationships xmlns="{OPEN}/package/2006/relationships"><Relationship Id="r1" '
    f'Type="{OPEN}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
)
PARAGRAPH = "<w:p><w:r><w:t>hello world</w:t></w:r></w:p>"


def prepare(project: Path) -> None:
    """A folder for documents, and what reads them."""
    import bs4
    import mammoth
    import markdownify
    import pypdf

    import tasks.generate.documents.read

    assert all((bs4, mammoth, markdownify, pypdf, tasks.generate.documents.read))
    (project / "docs").mkdir()


def read() -> int:
    """Read and cut all documents, as `generate` does."""
    from tasks.core.errors import TemperError
    from tasks.generate.documents.chunk import chunks
    from tasks.generate.documents.read import documents

    try:
        for document in documents(Path("docs"), "docs"):
            print(document.name, len(document.text), sum(1 for _ in chunks(document, 2000)))
    except TemperError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    return 0


def document(name: str, file: str, make: Callable[[], bytes]) -> Case:
    return Case(f"{file} {name}", lambda folder: (folder / "docs" / file).write_bytes(make()), read)


def docx(body: str, whole: str = "") -> bytes:
    """A Word document with `body`, or with `whole` as its XML."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", TYPES)
        archive.writestr("_rels/.rels", RELATIONS)
        archive.writestr(
            "word/document.xml", whole or f'<?xml version="1.0"?><w:document {W}><w:body>{body}</w:body></w:document>'
        )
    return out.getvalue()


def laughs() -> str:
    """An entity that is ten times one that is ten times one, and so on."""
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    return (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "aaaaaaaaaa">{entities}]>'
        f"<w:document {W}><w:body><w:p><w:r><w:t>"
        "&a9;</w:t></w:r></w:p></w:body></w:document>"
    )


def pdf(content: bytes = b"BT /F1 12 Tf 20 200 Td (Hello PDF world) Tj ET", **changes: bytes) -> bytes:
    """A PDF of one page; `changes`: what stands in place of parts of its objects."""
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]  # fmt: skip
    out, starts = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        starts.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, changes.get(f"object{number}", part))
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    return out + b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(out),
    )


def flate(size: int, what: bytes, times: int = 1) -> bytes:
    """A stream that unpacks to `size` times `what`, packed `times` times over."""
    packed = what * size
    for _ in range(times):
        packed = zlib.compress(packed, 9)
    filters = b"/FlateDecode " * times
    return b"<</Length %d/Filter[%s]>>stream\n%s\nendstream" % (len(packed), filters, packed)


FORM = b"<</Type/XObject/Subtype/Form/Length 5/Resources<</XObject<</X 4 0 R>>>>>>stream\n/X Do\nendstream"
"""A form that draws itself."""

GOOD = {"a.docx": docx(PARAGRAPH), "a.pdf": pdf(), "a.html": b"<h1>A</h1><p>some <b>words</b> here</p><ul><li>x</ul>",
        "a.md": b"---\na: b\n---\n# A\n\nsome words\n\n```\ncode\n```\n", "a.txt": b"some words"}  # fmt: skip


def divs(count: int) -> str:
    """A text in so many layers."""
    return "<div>" * count + "text here" + "</div>" * count


HTML: dict[str, Callable[[], str]] = {
    **{f"{n} divs": partial(divs, n) for n in (200, 1000, 5000, 50_000, 500_000)},
    "lists": lambda: "<ul><li>x" * 2000, "quotes": lambda: "<blockquote>" * 3000 + "x",
    "20 MB": lambda: "<p>word word</p>" * 1_300_000,
    "NUL": lambda: "<p>a\0b</p>", "wide table": lambda: "<table><tr>" + "<td>x</td>" * 20_000 + "</tr></table>",
    "colspan": lambda: "<table><tr><th colspan='999999999'>x</th></tr></table>",
    "colspan odd": lambda: "<table><tr><td colspan='x'>x</table>",
    "start": lambda: "<ol start='99999999999999999999'><li>x</ol>",
    "start of 5000 digits": lambda: f"<ol start='{'9' * 5000}'><li>x</ol>",
    "CDATA": lambda: "<![CDATA[ x <!-- <p>y", "ampersands": lambda: "&" * 3_000_000, "less": lambda: "<" * 1_000_000,
    "open comment": lambda: "<!--" * 200_000, "open tags": lambda: "<a href=" * 200_000,
    "references": lambda: "<p>&#xD800; &#x110000; &#0; &#99999999999999;",
    "tables in tables": lambda: "<table><tr><td>" * 900 + "x", "bold": lambda: "<b>" * 3000 + "x",
    "headings": lambda: "<h1>" * 3000 + "x",
    "declaration": lambda: "<!" * 300_000, "processing": lambda: "<?" * 300_000,
    "blank": lambda: "<p>" + " \n" * 5_000_000 + "x</p>",
    "code": lambda: "<pre>" * 2000 + "x", "attributes": lambda: "<p " + "a=b " * 500_000 + ">x</p>",
    "underscores": lambda: "<p>" + "_*" * 1_000_000,
}  # fmt: skip

PDFS: dict[str, Callable[[], bytes]] = {
    "pages in a circle": lambda: pdf(object2=b"<</Type/Pages/Kids[2 0 R]/Count 1>>"),
    "20,000 pages": lambda: pdf(object2=b"<</Type/Pages/Kids[" + b"3 0 R " * 20_000 + b"]/Count 20000>>"),
    "count huge": lambda: pdf(object2=b"<</Type/Pages/Kids[3 0 R]/Count 999999999>>"),
    "contents itself": lambda: pdf(object3=b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 3 0 R>>"),
    "deep": lambda: pdf(object3=b"<</Type/Page/Parent 2 0 R/MediaBox" + b"[" * 9999 + b"/Contents 4 0 R>>"),
    "flate 600 MB": lambda: pdf(object4=flate(600, b"\0" * 2**20)),
    "flate 60 MB of text": lambda: pdf(object4=flate(3_000_000, b"(ab) Tj 1 0 0 1 0 0 Tm ")),
    "flate twice": lambda: pdf(object4=flate(3000, b"\0" * 2**20, 2)),
    "an object in itself": lambda: pdf(object4=b"<</Length 4 0 R>>stream\nx\nendstream"),
    "numbers": lambda: pdf(b"9" * 6000 + b" Td (x) Tj"), "brackets": lambda: pdf(b"BT " + b"[" * 50_000 + b" TJ ET"),
    "forms in a circle": lambda: pdf(b"/X Do",
        object3=b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</X 4 0 R>>>>>>",
                                     object4=FORM),
}  # fmt: skip


def fixed() -> Iterator[Case]:
    """The inputs that are the same for every seed."""
    for name, text in HTML.items():
        yield document(name, "a.html", lambda text=text: text().encode())  # type: ignore[misc]
    for name, make in PDFS.items():
        yield document(name, "a.pdf", make)
    for file, good in GOOD.items():
        yield document("good", file, lambda good=good: good)  # type: ignore[misc]
        yield document("empty", file, lambda: b"")
        yield document("random", file, lambda: random.Random(2).randbytes(3000))
    for name, part in {
        "zip bomb": lambda: docx("<w:p><w:r><w:t>" + "a" * (400 * 2**20) + "</w:t></w:r></w:p>"),
        "100,000 paragraphs": lambda: docx(PARAGRAPH * 100_000),
        "deep tables": lambda: docx("<w:tbl><w:tr><w:tc>" * 3000 + PARAGRAPH + "</w:tc></w:tr></w:tbl>" * 3000),
        "deep runs": lambda: docx("<w:ins>" * 50_000 + PARAGRAPH + "</w:ins>" * 50_000),
        "billion laughs": lambda: docx("", laughs()),
        "foreign entity": lambda: docx("",
            laughs().replace('"aaaaaaaaaa"', 'SYSTEM "file:///etc/passwd"').replace("&a9;", "&a0;")),
        "size that lies": lambda: docx(PARAGRAPH).replace(len(docx(PARAGRAPH)).to_bytes(4, "little"),
            b"\xff\xff\xff\x7f"),
        "20,000 tiny runs": lambda: docx("<w:p>" + "<w:r><w:t>x</w:t></w:r>" * 200_000 + "</w:p>"),
    }.items():  # fmt: skip
        yield document(name, "a.docx", part)
    yield document("front matter", "a.md", lambda: b"---\n" + b"a\n" * 2_000_000)
    yield document("open front matter", "a.md", lambda: b"---\n" * 300_000)
    yield document("fences", "a.md", lambda: b"```\n" * 300_001)
    yield document("headings", "a.md", lambda: b"# a\n" * 200_000)
    yield document("one line", "a.md", lambda: b"# " + b"# " * 2_000_000)
    yield document("blanks in a heading", "a.md", lambda: b"# a" + b" " * 100_000 + b"b\n")
    yield document("quotes", "a.md", lambda: b">" * 20_000 + b"x\n")
    yield document("brackets", "a.md", lambda: b"[" * 200_000)
    yield document("stars", "a.md", lambda: b"*a " * 200_000)
    yield document("lists", "a.md", lambda: b"".join(b" " * n + b"- x\n" for n in range(3000)))
    yield document("a word of 30 MB", "a.txt", lambda: b"a" * 30_000_000)
    yield Case("a FIFO", lambda folder: os.mkfifo(folder / "docs/a.md"), read)
    yield Case("a link to /dev/zero", lambda folder: (folder / "docs/a.md").symlink_to("/dev/zero"), read)
    yield Case("a folder", lambda folder: (folder / "docs/a.md").mkdir(), read)


def drawn(draw: random.Random) -> Iterator[Case]:
    """Inputs without end, by a seed."""
    tags = ["div", "p", "ul", "li", "table", "tr", "td", "b", "pre", "h1", "blockquote", "a", "ol", "span", "code"]
    while True:
        file = draw.choice([*GOOD, "a.pdf", "a.docx", "nested"])
        if file == "nested":
            some = draw.sample(tags, 3)
            count = draw.choice([50, 500, 1500, 10_000])
            text = "".join(f"<{tag}>" for tag in some) * count + "x"
            yield document(f"{json.dumps(some)} {count} times", "a.html", lambda text=text: text.encode())  # type: ignore[misc]
            continue
        what, content = spoiled_bytes(draw, GOOD[file])
        if file == "a.docx" and draw.random() < 0.5:  # what is packed, not the archive
            what, body = spoiled_bytes(draw, (PARAGRAPH * 3).encode())
            content = docx(body.decode("latin-1"))
        yield document(what, file, lambda content=content: content)  # type: ignore[misc]
