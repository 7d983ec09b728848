"""Errors of the operating system become sentences; those of temper cross the border of a process."""

import errno

import pytest

from tasks.core.errors import TREE, ModelError, StageFailed, Unavailable, advice, as_json, from_json


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "data/x: the disk is full; free some space and run again: finished stages and checkpoints"),
        (errno.EROFS, "data/x: the file system is read-only; run in a folder that can be written."),
        (errno.EIO, "data/x: Input/output error."),
    ],
)
def test_names_the_file_and_what_to_do(number: int, sentence: str) -> None:
    assert advice(OSError(number, "as the system says it", "data/x")).startswith(sentence)


def test_without_a_file() -> None:
    assert advice(OSError("odd")) == "odd."


@pytest.mark.parametrize("name", sorted(TREE))
def test_an_error_is_the_same_on_both_sides(name: str) -> None:
    value = as_json(TREE[name]("one\ntwo"))
    assert value == {"class": name, "sentence": "one\ntwo", "again": name == "Unavailable"}
    error = from_json(value)
    assert type(error) is TREE[name]
    assert str(error) == "one\ntwo"


def test_a_class_that_the_other_side_does_not_know_becomes_the_nearest() -> None:
    class Local(ModelError):
        """Of one module."""

    assert type(from_json(as_json(Local("x")))) is ModelError
    assert type(from_json({"class": "Newer", "sentence": "x", "again": False})) is StageFailed
    assert type(from_json({"class": "Newer", "sentence": "x", "again": True})) is Unavailable
