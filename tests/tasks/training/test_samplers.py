"""Rows of similar length in one batch: each row once an epoch, the same batches for a seed and epoch, less padding."""

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset

from tasks.training.samplers import LengthGroupedSampler

SIZE = 8


@pytest.fixture(scope="module")
def lengths() -> list[int]:
    values: list[int] = np.random.default_rng(0).integers(1, 500, 1003).tolist()
    return values


@pytest.fixture(scope="module")
def rows(lengths: list[int]) -> Dataset:
    return Dataset(pa.table({"input_ids": pa.array([[0] * length for length in lengths], pa.list_(pa.int32()))}))


def batches(order: list[int]) -> list[list[int]]:
    return [order[start : start + SIZE] for start in range(0, len(order), SIZE)]


def padded(order: list[int], lengths: list[int]) -> int:
    """Tokens of the batches, padding included."""
    return sum(len(batch) * max(lengths[row] for row in batch) for batch in batches(order))


def test_every_row_comes_once_and_with_rows_of_its_length(rows: Dataset, lengths: list[int]) -> None:
    order = list(LengthGroupedSampler(rows, SIZE, seed=1))
    assert sorted(order) == list(range(len(lengths))) and len(LengthGroupedSampler(rows, SIZE, seed=1)) == len(lengths)
    assert padded(order, lengths) < 1.05 * sum(lengths)
    assert padded(np.random.default_rng(1).permutation(len(lengths)).tolist(), lengths) > 1.5 * sum(lengths)


def test_the_batches_come_in_no_order_of_length(rows: Dataset, lengths: list[int]) -> None:
    longest = [
        max(lengths[row] for row in batch) for batch in batches(list(LengthGroupedSampler(rows, SIZE, seed=1)))[:-1]
    ]
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.2


def test_seed_and_epoch_decide_and_nothing_else(rows: Dataset) -> None:
    order = LengthGroupedSampler(rows, SIZE, seed=1)
    first = list(order)
    assert list(order) == first
    order.set_epoch(1)
    second = list(order)
    assert second != first
    assert {frozenset(batch) for batch in batches(second)}.isdisjoint(frozenset(batch) for batch in batches(first)[:-1])
    order.set_epoch(0)
    assert list(order) == first
    assert list(LengthGroupedSampler(rows, SIZE, seed=2)) != first


def test_fewer_rows_than_a_batch(rows: Dataset) -> None:
    assert sorted(LengthGroupedSampler(Dataset(rows.data.slice(0, 3)), SIZE, seed=0)) == [0, 1, 2]
