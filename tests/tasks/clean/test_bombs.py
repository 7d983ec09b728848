"""Files that lie or unpack to far too much are refused by name; one bad line or text leaves alone."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.clean.files import Source
from tasks.clean.read import records
from tasks.core.errors import InputError


def source(folder: Path, name: str, content: bytes) -> Source:
    (folder / name).write_bytes(content)
    return Source(folder / name, name, None, -1)


def stream(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def dictionary(rows: int, size: int) -> pa.Table:
    """So many rows of one text of so many letters."""
    return pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))})


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def test_a_line_with_a_nul_byte_leaves_alone(tmp_path: Path) -> None:
    content = b'{"text": "a"}\n{"text": "b\0"}\n{"text": "c"}\n'
    read = [(record.line, record.value, record.fault) for record in records(source(tmp_path, "a.jsonl", content))]
    assert read == [(1, {"text": "a"}, None), (2, None, "parse_error"), (3, {"text": "c"}, None)]


def test_what_is_binary_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jsonl: the content is not text"):
        list(records(source(tmp_path, "a.jsonl", bytes(range(256)) * 20)))


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_lines_end_at_line_feeds_only(tmp_path: Path, mark: str, name: str) -> None:
    rows = [{"text": f"one{mark}line"}, {"text": f"another{mark}{mark}"}]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    assert [record.value for record in records(source(tmp_path, name, content))] == rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", parquet(dictionary(10_000, 100_000))),
        ("a.arrow", stream(dictionary(10_000, 100_000))),
        ("b.parquet", parquet(dictionary(3_000_000, 1))),
    ],
)
def test_a_table_that_unpacks_to_far_too_much_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(InputError, match=rf"{name}: decompresses to more than 300 times its size"):
        next(records(source(tmp_path, name, content)))


def test_a_dictionary_of_the_usual_size_is_read(tmp_path: Path) -> None:
    table = dictionary(5000, 20)
    for name, content in (("a.parquet", parquet(table)), ("a.arrow", stream(table))):
        assert [record.value for record in records(source(tmp_path, name, content))] == [{"text": "x" * 20}] * 5000


def test_offsets_that_point_outside_are_refused(tmp_path: Path) -> None:
    table = pa.table({"text": ["one", "two", "three"]})
    content = bytearray(stream(table))
    at = content.index((3).to_bytes(4, "little") + (6).to_bytes(4, "little"))  # where "two" begins and ends
    content[at : at + 4] = (10**6).to_bytes(4, "little")
    with pytest.raises(InputError, match=r"a\.arrow: not a readable Arrow file \(ArrowInvalid: "):
        list(records(source(tmp_path, "a.arrow", bytes(content))))
