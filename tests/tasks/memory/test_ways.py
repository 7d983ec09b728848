"""What is advised where training does not fit is no more than fits, and nothing that is set already."""

from typing import Any

import pytest

from tasks.memory.price import Price
from tasks.memory.ways import largest, smaller
from tasks.train.settings import Settings

GIB = 2**30


def pricing(settings: Any) -> Price:
    """1 GiB of activations a row, a quarter of it where they are computed again; weights by method."""
    weights = {"full": 40, "lora": 16, "qlora": 5}[settings.method] * GIB
    activations = settings.batch_size * GIB // (4 if settings.gradient_checkpointing else 1)
    return Price(weights, 0, 0, activations, 0, GIB)


def advice(memory: int, **settings: Any) -> list[dict[str, Any]]:
    return [way.changes for way in smaller(Settings(**settings), pricing, memory * GIB)]


def test_the_cheapest_ways_come_first_and_keep_the_effective_batch() -> None:
    assert advice(24, method="lora", batch_size=16) == [
        {"batch_size": 4, "gradient_accumulation": 4},
        {"gradient_checkpointing": True},
    ]


def test_what_is_set_already_is_not_advised() -> None:
    assert advice(24, method="lora", batch_size=64, gradient_checkpointing=True, gradient_accumulation=2) == [
        {"batch_size": 16, "gradient_accumulation": 8},
        {"method": "qlora"},
    ]
    assert advice(20, method="qlora", batch_size=64, gradient_checkpointing=True) == [
        {"batch_size": 32, "gradient_accumulation": 2}
    ]


def test_a_way_may_need_two_changes() -> None:
    assert advice(24, method="full", batch_size=1, gradient_checkpointing=True) == [
        {"method": "lora"},
        {"method": "qlora"},
    ]
    assert advice(10, method="lora", batch_size=32) == [
        {"gradient_checkpointing": True, "method": "qlora", "batch_size": 16, "gradient_accumulation": 2}
    ]


def test_a_batch_that_the_loss_looks_at_as_a_whole_is_not_divided() -> None:
    settings = Settings(method="lora", batch_size=16)
    ways = smaller(settings, pricing, 24 * GIB, divides=False)
    assert [way.changes for way in ways] == [
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "method": "qlora"},
    ]


def test_where_nothing_fits_nothing_is_advised() -> None:
    assert advice(4, method="qlora", batch_size=8) == []


@pytest.mark.parametrize(
    ("memory", "asked", "at_once", "passes"),
    [
        (24, {"batch_size": 8, "gradient_accumulation": 8}, 4, 16),  # 17 GiB and one a row: 7 fit, 4 divide 64
        (24, {"batch_size": 64}, 4, 16),
        (24, {"batch_size": 1, "gradient_accumulation": 35}, 7, 5),
        (24, {"batch_size": 1, "gradient_accumulation": 11}, 1, 11),
        (100, {"batch_size": 2, "gradient_accumulation": 16}, 32, 1),
        (49, {"batch_size": 1, "gradient_accumulation": 32}, 32, 1),  # 17 + 32 GiB: to the byte
        (18, {"batch_size": 6}, 1, 6),
    ],
)
def test_the_most_rows_at_one_time_divide_the_effective_batch(
    memory: int, asked: dict[str, int], at_once: int, passes: int
) -> None:
    way = largest(Settings.model_validate({"method": "lora", **asked}), pricing, memory * GIB)
    assert way is not None
    assert way.changes == {"batch_size": at_once, "gradient_accumulation": passes}
    assert way.price.total == (17 + at_once) * GIB


def test_where_not_one_row_fits_there_is_no_largest_batch() -> None:
    assert largest(Settings(method="lora", batch_size=8), pricing, 17 * GIB) is None
