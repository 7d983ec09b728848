"""Numbers as people write them: groups of three, no power of ten that nobody needs, one row and two rows."""

import pytest

from tasks.core.numbers import counted, duration, shown, signed, storage


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (13080, "13,080"), (13080.0, "13,080"), (13080.4, "13,080"), (1234567.8, "1,234,568"),
        (0.00021, "0.00021"), (0.0001, "0.0001"), (0.00001, "1e-5"), (2.13e-5, "2.13e-5"), (0.00009999999, "0.0001"),
        (0.6931472, "0.6931"), (999.96, "1,000"), (20.0, "20"), (0.99999, "1"), (-1234.5, "-1,234"), (-0.25, "-0.25"),
        (0, "0"), (0.0, "0"), (-0.0, "0"), (1e18, "1e18"), (float("inf"), "inf"), (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_people_write_it(value: float, text: str) -> None:
    assert shown(value) == text


def test_digits_and_signs() -> None:
    assert (shown(0.123456, 2), shown(13080.4, 2), shown(7.0, 2)) == ("0.12", "13,080", "7")
    assert (signed(0.25), signed(-0.25), signed(0)) == ("+0.25", "-0.25", "+0")


@pytest.mark.parametrize(
    ("count", "plural", "text"),
    [
        (1, "rows", "1 row"), (0, "rows", "0 rows"), (2, "rows", "2 rows"), (13080, "tokens", "13,080 tokens"),
        (1, "entries", "1 entry"), (1, "matches", "1 match"), (1, "losses", "1 loss"), (1, "boxes", "1 box"),
        (1, "bytes", "1 byte"), (1, "trained tokens", "1 trained token"),
    ],
)  # fmt: skip
def test_a_count_goes_with_its_noun(count: int, plural: str, text: str) -> None:
    assert counted(count, plural) == text


def test_durations_and_sizes() -> None:
    assert [duration(seconds) for seconds in (0.4, 99, 100, 5940, 6000)] == [
        "0 s",
        "99 s",
        "2 min",
        "99 min",
        "1 h 40 min",
    ]
    assert [storage(size) for size in (2**20, 829 * 2**20, 3 * 2**30)] == ["1.0 MiB", "829 MiB", "3.00 GiB"]
