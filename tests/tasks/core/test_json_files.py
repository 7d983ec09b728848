"""JSON and YAML that lie are refused in one sentence that names the file."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tasks.core.errors import ModelError
from tasks.core.json_files import DEEPEST, depth, json_value, read_as, read_object
from tasks.core.yaml_files import DEEPEST as DEEPEST_YAML
from tasks.core.yaml_files import MOST, parse


class Record(BaseModel):
    count: int
    names: dict[str, str] = {}


def nest(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def test_an_object_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b'\xef\xbb\xbf{"count": 3, "more": [1.5, null]}')
    assert read_object(file) == {"count": 3, "more": [1.5, None]}
    assert read_as(Record, file).count == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not valid JSON"),
        (b"[]", "a JSON object is expected"),
        (b"null", "a JSON object is expected"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": "b\0c"}', "not valid JSON"),
        (nest(100_000).encode(), r"not valid JSON \(nested too deep\)"),
        (nest(DEEPEST + 1).encode(), f"nested deeper than {DEEPEST} levels"),
    ],
)
def test_what_is_no_object_is_refused_by_name(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=rf"a\.json: {sentence}[^\n]*; run it again\.$"):
        read_object(file, ModelError, "run it again")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no file; restore the file"):
        read_object(tmp_path, ModelError)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({}, "count: field required"),
        ({"count": "x"}, "count = 'x': input should be a valid integer"),
        ({"count": 1, "names": {"b": 3}}, r"names\.b = 3: input should be a valid string"),
        ({"count": [1] * 500}, r"count = \[1, .{60,76}\.\.\.: input should be"),
    ],
)
def test_a_key_of_another_form_is_named(tmp_path: Path, value: dict[str, Any], sentence: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(value))
    with pytest.raises(ModelError, match=rf"a\.json: {sentence}"):
        read_as(Record, file, ModelError)


def test_levels_are_counted() -> None:
    assert [*map(depth, (1, [[]], {"a": [1, {"b": 2}]}))] == [0, 2, 3]
    assert depth(json.loads(nest(DEEPEST))) == DEEPEST


@pytest.mark.parametrize("text", [nest(DEEPEST + 1), nest(50_000), "{", "9" * 5000])
def test_a_text_that_is_no_value_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested|Expecting|digits"):
        json_value(text)


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (bomb(10), f"too large: more than {MOST:,} values"),
        ("x: &x [*x]", "endless: an alias refers to a value that contains it"),
        ("x: &x {y: *x}", "endless"),
        ("x: " + "[" * 3000 + "]" * 3000, f"nested deeper than {DEEPEST_YAML} levels"),
        ("x: " + "[" * 60 + "]" * 60, f"nested deeper than {DEEPEST_YAML} levels"),
        ("x: " + "a" * 200_000, "too large: 200,003 characters"),
        ("x: " + "9" * 5000, "not valid YAML"),
        ("x: 2020-99-99", "not valid YAML"),
        ("x: !!set {a, b}", "this is a set"),
        ("x: [1", "not valid YAML"),
    ],
)
def test_yaml_beyond_its_bounds_is_a_value_error(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(text, "safe")


def test_aliases_within_the_bounds_are_what_they_stand_for() -> None:
    assert parse(bomb(3), "safe")["a2"] == [[["x"] * 10] * 10] * 10
