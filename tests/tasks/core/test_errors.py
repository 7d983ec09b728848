"""Errors of the operating system become sentences."""

import errno

import pytest

from tasks.core.errors import advice


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "data/x: the disk is full; free some space and run again: finished stages and checkpoints"),
        (errno.EROFS, "data/x: the file system is read-only; run in a folder that can be written."),
        (errno.EIO, "data/x: Input/output error."),
    ],
)
def test_names_the_file_and_what_to_do(number: int, said: str) -> None:
    assert advice(OSError(number, "as the system says it", "data/x")).startswith(said)


def test_without_a_file() -> None:
    assert advice(OSError("odd")) == "odd."
