"""Sizes of cards as people write them, and layers that stand for all."""

import pytest

from tasks.memory.card import parse


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GB", 24 * 2**30),
        ("24", 24 * 2**30),
        ("80 GiB", 80 * 2**30),
        ("24564MiB", 24564 * 2**20),
        ("1.5g", 3 * 2**29),
    ],
)
def test_sizes_are_read_as_cards_are_sold(text: str, size: int) -> None:
    assert parse(text) == size


@pytest.mark.parametrize("text", ["", "big", "24TBs", "-3GB", "0", "GB24", "1e9GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no memory of a card"):
        parse(text)
