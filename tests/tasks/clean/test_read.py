"""Records of files that are nearly right: what is wrong with each is told, and its neighbours are read."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.content import Unusable
from tasks.clean.files import Source
from tasks.clean.read import records
from tasks.clean.record import Record
from tasks.clean.shapes import to_content
from tasks.core.errors import InputError


def read(folder: Path, name: str, text: str | bytes) -> list[Record]:
    """The records of a file with that content."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(records(Source(path, name, None, -1)))


def faults(records: list[Record]) -> list[tuple[int, str | None]]:
    return [(record.line, record.fault) for record in records]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (['1,"open', "2,x", '3,"y"', "4,z"], [(2, "unclosed_quote"), (3, None), (4, None), (5, None)]),
        (['1,"open', "2,x", '3,"two', 'lines"', "4,z"], [(2, "unclosed_quote"), (3, None), (4, None), (6, None)]),
        (['1,"open', "2,x", '3,5" tube', "4,z"], [(2, "unclosed_quote"), (3, None), (4, "unclosed_quote"), (5, None)]),
        (['1,"open', '2,"x"', '3,"open', '4,"y"'],
         [(2, "unclosed_quote"), (3, None), (4, "unclosed_quote"), (5, None)]),
        (['1,"two', 'lines, and ""marks"""', "2,x"], [(2, None), (4, None)]),
        (['1,"two', 'lines",more', "2,x"], [(2, "ragged_lines"), (4, None)]),
        (['1,"as it" comes', "2,x", ""], [(2, None), (3, None)]),
    ],
)  # fmt: skip
def test_a_quotation_that_closes_some_rows_later_takes_its_own_row_only(
    tmp_path: Path, rows: list[str], expected: list[tuple[int, str | None]]
) -> None:
    records = read(tmp_path, "rows.csv", "\n".join(["a,b", *rows]))
    assert faults(records) == expected
    last = records[-1].value
    assert last is not None
    assert last["b"] in ("x", "y", "z")
    for record in records:
        if record.fault == "unclosed_quote":
            assert record.raw == rows[record.line - 2]
        if record.fault == "ragged_lines":
            assert record.raw.startswith("lines 2 to 3: ")


def test_a_quotation_in_the_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows\.csv: a quotation mark in the header"):
        read(tmp_path, "rows.csv", 'a,"b\n1,2\n3,"4"\n')


@given(rows=st.lists(st.lists(st.text('a",\n\r', max_size=5), min_size=2, max_size=2), max_size=6))
def test_what_a_writer_of_csv_wrote_is_read_as_it_was(tmp_path_factory: Any, rows: list[list[str]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b"], *rows])
    records = read(tmp_path_factory.mktemp("csv"), "rows.csv", file.getvalue())
    assert [list((record.value or {}).values()) for record in records] == rows


@pytest.mark.parametrize("count", [1, 3])
def test_objects_over_several_lines_are_read_whatever_the_file_is_called(tmp_path: Path, count: int) -> None:
    rows = [{"text": f"row {number}\u2028", "meta": {"n": [number]}} for number in range(count)]
    records = read(tmp_path, "rows.jsonl", "\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in rows))
    assert [record.value for record in records] == rows


@pytest.mark.parametrize("line", ["{}", '{"text": "%s"}'])
def test_an_object_is_seen_to_go_on_where_its_end_is_not_seen(tmp_path: Path, line: str) -> None:
    row = {"messages": [line % ("x" * 50) if "%" in line else {"text": "y"}] * 4000}
    (record,) = read(tmp_path, "rows.jsonl", json.dumps(row, indent=1))
    assert record.value == row


@pytest.mark.parametrize("broken", ['{"text": "cut', '{"text": "cut",', "{", '{"text": ["cut"'])
def test_a_first_line_that_is_broken_leaves_alone(tmp_path: Path, broken: str) -> None:
    records = read(tmp_path, "rows.jsonl", broken + '\n{"text": "whole"}\n{"text": "more"}')
    assert faults(records) == [(1, "parse_error"), (2, None), (3, None)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet", "rows.arrow"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "pointer.*: git lfs pull"),
        ("\ufeff<!DOCTYPE html>\n<html><body>Sign in</body></html>", "an HTML or XML page.*download the data again"),
        ("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an HTML or XML page"),
    ],
)  # fmt: skip
def test_what_came_in_place_of_the_data_is_told(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: .*{expected}"):
        read(tmp_path, name, text)


def test_a_page_may_be_prose(tmp_path: Path) -> None:
    assert read(tmp_path, "page.txt", "<html>kept</html>")[0].value == {"text": "<html>kept</html>"}


def test_numbers_beyond_64_bits_are_read(tmp_path: Path) -> None:
    rows = [{"text": "a", "n": 1.5}, {"text": "b", "n": 10**30, "more": [2.5, {"x": -0.0}]}, {"text": "c", "n": 3}]
    for name, text in (("rows.json", json.dumps(rows)), ("rows.jsonl", "\n".join(map(json.dumps, rows)))):
        records = [record.value for record in read(tmp_path, name, text)]
        assert records == rows
        assert [type((value or {})["n"]) for value in records] == [float, int, int]


def test_numbers_that_nothing_reads_are_told(tmp_path: Path) -> None:
    deep = "[" * 100_000
    text = f'{{"text": "a", "n": {"7" * 5000}}}\n{{"text": "b"}}\n{{"text": {deep}'
    assert faults(read(tmp_path, "rows.jsonl", text)) == [(1, "huge_number"), (2, None), (3, "too_deep")]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("NaN", "JSON has no such numbers; write null"),
        ("-Infinity", "JSON has no such numbers; write null"),
        ("1e999", "overflow"),
        ("7" * 5000, "at most 4300 digits; write it as a text"),
    ],
)
def test_numbers_that_a_document_cannot_have_are_told(tmp_path: Path, number: str, expected: str) -> None:
    with pytest.raises(InputError, match=rf"rows\.json: not valid JSON after 1 items: .*{expected}"):
        read(tmp_path, "rows.json", f'[{{"text": "a"}}, {{"text": "b", "n": {number}}}]')


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_json_lacks_matter_where_they_are_kept(tmp_path: Path, number: str) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": turns, "score": "?"}, {"messages": [turns[0], {**turns[1], "score": "?"}]}]
    text = "\n".join(json.dumps(row).replace('"?"', number) for row in rows)
    unused, kept = (record.value or {} for record in read(tmp_path, "rows.jsonl", text))
    assert not math.isfinite(unused["score"])
    assert len(to_content(unused).messages or []) == 2
    with pytest.raises(Unusable, match="not_finite"):
        to_content(kept)
