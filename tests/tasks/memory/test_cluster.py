"""Cards as people write them: what is understood, and what is refused by one sentence."""

import pytest

from tasks.core.errors import SettingsError
from tasks.memory.cluster import Cluster, parse, size

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("24GB", 24 * GIB),
        ("24", 24 * GIB),
        ("80 GiB", 80 * GIB),
        ("24564MiB", 24564 * 2**20),
        ("1.5g", 3 * 2**29),
        ("1TB", 1024 * GIB),
    ],
)
def test_sizes_are_read_as_cards_are_sold(text: str, amount: int) -> None:
    assert size(text) == amount


@pytest.mark.parametrize("text", ["", "big", "24TBs", "-3GB", "0", "GB24", "1e9GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid size for the memory of a card"):
        size(text)


@pytest.mark.parametrize(
    ("text", "cluster"),
    [
        ("80GB", Cluster(80 * GIB)),
        ("80GB x 8", Cluster(80 * GIB, 8)),
        ("80GBx8", Cluster(80 * GIB, 8)),
        ("80 GB X 8", Cluster(80 * GIB, 8)),
        ("80GB*8", Cluster(80 * GIB, 8)),
        ("80GB \u00d7 8", Cluster(80 * GIB, 8)),
        ("8 x 80GB", Cluster(80 * GIB, 8)),
        ("80GB x 8 x 2", Cluster(80 * GIB, 8, 2)),
        ("24564MiBx8x64", Cluster(24564 * 2**20, 8, 64)),
    ],
)
def test_cards_and_hosts(text: str, cluster: Cluster) -> None:
    assert parse(text) == cluster


def test_a_cluster_counts_the_cards_of_all_hosts() -> None:
    assert (parse("80GB x 8 x 2").world, parse("80GB x 8").world, parse("80GB").world) == (16, 8, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("80 x 8", "which number is the memory"),
        ("24GB x 24GB", "which number is the memory"),
        ("8 x 80GB x 2", "which number counts the cards of a host"),
        ("2 x 8 x 80GB", "which number counts the cards of a host"),
        ("80GB x", "does not say memory, cards and hosts"),
        ("80GB x 8 x 2 x 3", "does not say memory, cards and hosts"),
        ("80GB x 0", "'0' is not a valid number of cards"),
        ("80GB x -8", "'-8' is not a valid number of cards"),
        ("80GB x 1.5", "'1.5' is not a valid number of cards"),
        ("80GB x 8 cards", "is not a valid number of cards"),
        ("80GB 8", "'80GB 8' is not a valid size for the memory of a card"),
        ("-3GB", "'-3GB' is not a valid size for the memory of a card"),
        ("80GB x 99999 x 99", "means more than 100,000 cards"),
    ],
)
def test_what_says_no_number_of_cards_is_refused_by_one_sentence(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as error:
        parse(text)
    assert str(error.value).count("\n") == 0
    assert "80GB x 8" in str(error.value)
