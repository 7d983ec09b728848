"""Documents of each format to chunks that know their place, and the check that a chunk bears an answer out."""

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.generate.documents import Document, chunks, documents
from tasks.generate.recipes.documents import parse_pairs, supported

SHARED = Path(__file__).parents[4] / "shared" / "data" / "documents"

PAGE = """# Volumes

Data lives longer than its container.

## Create

```sh
# not a heading
docker volume create web-data
```

### Options

A driver may be named with `--driver`; the default is **local**.

## Remove

Only volumes that 0 containers use can be removed.
"""


def one(text: str, name: str = "page.md") -> Document:
    return Document(name, text)


def pdf(text: str) -> bytes:
    """A PDF of two pages, written by hand; each says `text` and its number."""
    streams = [f"BT /F1 12 Tf 72 700 Td ({text} {number}) Tj ET".encode() for number in (1, 2)]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R 6 0 R] /Count 2 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, stream in enumerate(streams):
        content_id = 5 + 2 * number
        page = f"<< /Type /Page /Parent 2 0 R /Contents {content_id} 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
        objects += [page.encode(), b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream)]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = (len(objects) + 1, table, len(objects) + 1, len(body))
    return (
        body + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % end
    )


def docx(path: Path) -> None:
    """A Word document with a heading and a paragraph."""
    space = "http://schemas.openxmlformats.org"
    word = f'xmlns:w="{space}/wordprocessingml/2006/main"'
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml", f'<Types xmlns="{space}/package/2006/content-types"><Override '
                      'PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
                      'wordprocessingml.document.main+xml"/></Types>')  # fmt: skip
        file.writestr("_rels/.rels", f'<Relationships xmlns="{space}/package/2006/relationships"><Relationship Id="1" '
                      f'Type="{space}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
                      "</Relationships>")  # fmt: skip
        heading = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
        file.writestr("word/document.xml", f'<w:document {word}><w:body><w:p>{heading}'
                      "<w:r><w:t>Networks</w:t></w:r></w:p><w:p><w:r><w:t>A bridge joins containers.</w:t></w:r></w:p>"
                      "</w:body></w:document>")  # fmt: skip
        styles = '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
        file.writestr("word/styles.xml", f"<w:styles {word}>{styles}</w:styles>")


def test_every_format_becomes_markdown(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\ntitle: x\n---\n# A\n\ntext\n")
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfplain\r\ntext\n")
    (tmp_path / "c.html").write_text(
        "<html><head><title>t</title></head><body><nav>menu</nav><h2>C</h2><p>one <b>two</b></p>"
        "<script>x()</script><table><tr><th>k</th></tr><tr><td>v</td></tr></table></body></html>"
    )
    docx(tmp_path / "d.docx")
    (tmp_path / "e.pdf").write_bytes(pdf("Page"))
    (tmp_path / "f.txt").write_text("\n")
    (tmp_path / "g.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.md").write_text("no")
    left: Counter[str] = Counter()
    read = {document.name: document for document in documents(tmp_path, "here", left)}
    assert list(read) == ["a.md", "b.txt", "c.html", "d.docx", "e.pdf"]
    assert left == {"empty": 1, ".png": 1}
    assert read["a.md"].text == "\n\n\n# A\n\ntext\n"  # lines keep their numbers
    assert read["b.txt"].text == "plain\ntext\n"
    assert "## C\n\none **two**" in read["c.html"].text
    assert "| k |" in read["c.html"].text
    assert not [word for word in ("menu", "x()", "<", "title") if word in read["c.html"].text]
    assert read["d.docx"].text.startswith("# Networks\n\nA bridge joins containers.")
    (first,) = chunks(read["e.pdf"], 1000)
    assert (first.text.split(), first.page) == (["Page", "1", "Page", "2"], 1)
    assert [chunk.page for chunk in chunks(read["e.pdf"], 8)] == [1, 2]


def test_chunks_know_their_headings_and_lines_and_leave_code_whole() -> None:
    pieces = list(chunks(one(PAGE), 120))
    lines = PAGE.split("\n")
    for chunk in pieces:
        assert len(chunk.text) <= 120
        assert chunk.text in "\n".join(lines[chunk.lines[0] - 1 : chunk.lines[1]])
    assert [chunk.number for chunk in pieces] == list(range(len(pieces)))
    by_text = {chunk.text.split("\n")[0]: chunk for chunk in pieces}
    assert by_text["### Options"].headings == ("Volumes", "Create", "Options")
    assert by_text["## Remove"].headings == ("Volumes", "Remove")
    assert not any("not a heading" in heading for chunk in pieces for heading in chunk.headings)
    assert any("# not a heading\ndocker volume create web-data\n```" in chunk.text for chunk in pieces)
    assert "".join("".join(chunk.text.split()) for chunk in pieces) == "".join(PAGE.split())


def test_a_folder_without_documents_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"here: no document in it; known kinds: \.md"):
        list(documents(tmp_path, "here"))
    with pytest.raises(InputError, match="no such folder"):
        list(documents(tmp_path / "none", "here"))


@pytest.mark.parametrize(
    ("answer", "quote", "stands"),
    [
        ("The local driver.", "the default is local", True),  # marks and case are not copied
        ("The local driver.", "the default is nfs", False),
        ("The volume dies with its owner, the king of Spain.", "Data lives longer than its container.", False),
        ("Volumes that 0 containers use.", "Only volumes that 0 containers use can be removed.", True),
        ("Volumes that 3 containers use.", "Only volumes that 0 containers use can be removed.", False),
        ("Yes, it is.", "Data lives longer than its container.", False),
        ("Longer than its container", "Data lives longer\nthan its container.", True),
    ],
)
def test_what_a_chunk_bears_out(answer: str, quote: str, stands: bool) -> None:
    assert supported(answer, quote, "How is that?", PAGE, 0.6) is stands


def test_entries_are_found_in_whatever_surrounds_them() -> None:
    entry = '{"question": "q", "answer": "a", "quote": "b"}'
    pair = {"question": "q", "answer": "a", "quote": "b"}
    assert parse_pairs(f"Sure!\n```json\n[{entry}, {entry}]\n```") == [pair, pair]
    assert parse_pairs(f'[{entry}, {{"question": "cut o') == [pair]
    assert (
        parse_pairs('[{"question": "q", "answer": 7, "quote": "b"}, {"question": "", "answer": "a", "quote": "b"}]')
        == []
    )
    assert parse_pairs("{" * 5000) == []


@pytest.mark.long
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is missing")
def test_real_pages_lose_nothing() -> None:
    """197 pages of the docker command's reference, of every length."""
    read = list(documents(SHARED / "docker-cli-docs", "docs"))
    assert len(read) == 197
    for document in read:
        pieces = list(chunks(document, 1500))
        assert "".join("".join(piece.text.split()) for piece in pieces) == "".join(document.text.split())
        assert max(len(piece.text) for piece in pieces) <= 1500
