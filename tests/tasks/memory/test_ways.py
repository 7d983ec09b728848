"""What is advised where training does not fit is no more than fits, and nothing that is set already."""

from typing import Any

from tasks.memory.price import Price
from tasks.memory.ways import smaller
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


def test_where_nothing_fits_nothing_is_advised() -> None:
    assert advice(4, method="qlora", batch_size=8) == []
