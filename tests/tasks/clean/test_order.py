"""The key by whose values training goes: kept with the rows, of one kind, in each training row."""

import json
from typing import Any

import pytest

from tasks.clean.order import value_kind
from tasks.clean.settings import Settings
from tasks.clean.stage import validate
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tests.tasks.clean.test_clean import chat, cleaned, put
from tests.tasks.clean.test_cross_row import asked, paths

__all__ = ["paths"]


def test_numbers_and_texts_go_with_their_rows(paths: Paths) -> None:
    levels = [3, 1, 2.5, -4, 10**20, 0]
    put(paths, "rows.jsonl", *(chat(f"number {n}", split="train", level=n) for n in levels))
    put(paths, "other.jsonl", chat("validated", split="validation", level="none"))
    tables = cleaned(paths, order_key="level", mix=[{"files": "rows*", "share": 2}])
    pairs = zip(asked(tables["train"]), tables["train"], strict=True)
    assert {request: row["order"] for request, row in pairs} == {f"number {n}": float(n) for n in levels}
    assert len(tables["train"]) == 12
    assert [row["order"] for row in tables["validation"]] == [None]
    put(paths, "rows.jsonl", *(chat(f"number {n}", split="train", level=f"b{n}") for n in levels))
    assert {row["order"] for row in cleaned(paths, order_key="level")["train"]} == {f"b{n}" for n in levels}
    assert "order" not in cleaned(paths)["train"][0]


def test_private_texts_are_redacted(paths: Paths) -> None:
    put(paths, "rows.jsonl", chat("one", split="train", level="jo.smith@gmail.com"))
    (row,) = cleaned(paths, order_key="level", privacy={"email": "redact"})["train"]
    assert "@" not in json.dumps(row)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, None], r"1 of 3 training rows in .*input have no 'level', the first at rows\.jsonl:3; fix these rows"),
        ([1, "", 2], r"1 of 3 training rows .* have no 'level', the first at rows\.jsonl:2"),
        (
            [1, "easy", 2],
            r"'level' is a number in 2 of 3 .* \(rows\.jsonl:1\) and a text in 1 \(rows\.jsonl:2\), which",
        ),
        ([1, [2]], r"1 of 2 .* have neither a number nor a text as 'level', the first at rows\.jsonl:2"),
        ([True, 1], "neither a number nor a text"),
        ([float("inf"), 1], "neither a number nor a text"),
        ([float("nan"), 1], "neither a number nor a text"),
        (["a", {}], "neither a number nor a text"),
    ],
)
def test_rows_without_an_order_are_refused_before_and_by_the_stage(
    paths: Paths, values: list[Any], message: str
) -> None:
    put(paths, "rows.jsonl", *(chat(f"number {n}", split="train", level=n) for n in values))
    with pytest.raises(InputError, match=rf"clean\.order_key: .*{message}"):
        validate(Settings(input="input", order_key="level"), paths)
    with pytest.raises(InputError, match=message):
        cleaned(paths, order_key="level")
    assert not paths.rows("train").exists()


def test_an_integer_beyond_all_floats_has_no_order() -> None:
    assert value_kind(10**400) == "other"
