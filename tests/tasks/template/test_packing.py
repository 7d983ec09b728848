"""Packing of lengths: nothing lost, nothing above the capacity, as few packs as best fit makes."""

import itertools
import json
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tasks.core.errors import InputError
from tasks.template import packing
from tasks.template.packing import arrange, pack, packed

CAPACITY = 40
LENGTHS = st.lists(st.integers(1, CAPACITY), min_size=1, max_size=60)


def best_fit(lengths: list[int]) -> list[list[int]]:
    """Best fit decreasing as it is told: the fullest pack with room, of equals the one that waited longest."""
    packs: list[list[int]] = []  # in the order in which they last changed
    for length in sorted(lengths, reverse=True):
        room = [candidate for candidate in packs if sum(candidate) + length <= CAPACITY]
        tightest = max(room, key=sum) if room else []
        packs = [candidate for candidate in packs if candidate is not tightest] + [[*tightest, length]]
    return packs


def fewest(lengths: list[int]) -> int:
    """The least number of packs, by trying all."""
    best = len(lengths)

    def fill(index: int, loads: tuple[int, ...]) -> None:
        nonlocal best
        if len(loads) >= best:
            return
        if index == len(lengths):
            best = len(loads)
            return
        for which in {load: number for number, load in enumerate(loads)}.values():
            if loads[which] + lengths[index] <= CAPACITY:
                fill(index + 1, (*loads[:which], loads[which] + lengths[index], *loads[which + 1 :]))
        fill(index + 1, (*loads, lengths[index]))

    fill(0, ())
    return best


def contents(lengths: list[int], packs: Any) -> Counter[tuple[int, ...]]:
    """How many packs hold which lengths."""
    held: dict[int, list[int]] = {}
    for length, number in zip(lengths, packs.tolist(), strict=True):
        held.setdefault(number, []).append(length)
    return Counter(tuple(sorted(group)) for group in held.values())


@given(LENGTHS)
def test_every_row_is_in_one_pack_and_no_pack_is_too_full(lengths: list[int]) -> None:
    packs = pack(lengths, CAPACITY)
    assert packs.dtype == np.int32 and len(packs) == len(lengths)
    assert np.bincount(packs, lengths).max() <= CAPACITY
    firsts = [packs.tolist().index(number) for number in range(packs.max() + 1)]
    assert firsts == sorted(firsts)


@given(LENGTHS)
def test_the_packs_are_those_of_best_fit_one_row_at_a_time(lengths: list[int]) -> None:
    assert contents(lengths, pack(lengths, CAPACITY)) == Counter(
        tuple(sorted(lengths_of_pack)) for lengths_of_pack in best_fit(lengths)
    )


@given(st.lists(st.integers(1, CAPACITY), min_size=1, max_size=9))
def test_there_are_few_more_packs_than_the_fewest(lengths: list[int]) -> None:
    count = int(pack(lengths, CAPACITY).max()) + 1
    assert ceil(sum(lengths) / CAPACITY) <= count <= 11 / 9 * fewest(lengths) + 6 / 9


@given(LENGTHS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_decide_which_lengths_share_a_pack(lengths: list[int], source: Any) -> None:
    shuffled = source.sample(lengths, len(lengths))
    assert contents(shuffled, pack(shuffled, CAPACITY)) == contents(lengths, pack(lengths, CAPACITY))


@given(LENGTHS)
def test_rows_are_written_pack_after_pack(lengths: list[int]) -> None:
    order, packs = arrange(lengths, CAPACITY)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert set(np.diff(packs).tolist()) <= {0, 1} and packs[0] == 0
    assert (pack(lengths, CAPACITY)[order] == packs).all()
    assert all(np.diff(order)[np.diff(packs) == 0] > 0)


@pytest.mark.parametrize(
    ("lengths", "capacity", "packs"),
    [
        ([], 8, []),
        ([8], 8, [0]),
        ([3, 3, 3, 3, 3], 8, [0, 0, 1, 1, 2]),
        ([5, 3, 8, 3, 5], 8, [0, 0, 1, 2, 2]),
        ([1] * 5, 100_000, [0] * 5),
        ([70_000, 30_000, 30_001], 100_000, [0, 0, 1]),
    ],
)
def test_small_cases(lengths: list[int], capacity: int, packs: list[int]) -> None:
    assert pack(lengths, capacity).tolist() == packs


@pytest.mark.parametrize("wrong", [0, 9])
def test_a_row_that_fits_no_pack_is_refused_by_its_number(wrong: int) -> None:
    with pytest.raises(InputError, match=rf"row 2 has {wrong} tokens, but a pack holds 1 to 8 \(2 such rows\)"):
        pack([4, 8, wrong, 1, wrong], 8)


def batches(lengths: list[int], size: int) -> list[pa.RecordBatch]:
    """Rows whose ids tell the row and whose labels tell the place, `size` rows a batch."""
    ids = pa.array([[row] * length for row, length in enumerate(lengths)], pa.list_(pa.int32()))
    labels = pa.array([list(range(length)) for length in lengths], pa.list_(pa.int32()))
    names = pa.array([f"row {row}" for row in range(len(lengths))])
    table = pa.table({"id": names, "input_ids": ids, "labels": labels})
    return list(table.to_batches(max_chunksize=size))


def test_batches_are_packed_a_part_at_a_time_and_packs_are_numbered_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "TOKENS", 400)
    monkeypatch.setattr(packing, "PACKS", 1)
    lengths = np.random.default_rng(0).integers(1, CAPACITY + 1, 200).tolist()
    done = list(packed(batches(lengths, 7), CAPACITY))
    assert len(done) > 3
    assert all(len(batch.column("input_ids").flatten()) < 400 + 7 * CAPACITY for batch in done)
    rows = pa.Table.from_batches(done).to_pylist()
    assert sorted(row["id"] for row in rows) == sorted(f"row {row}" for row in range(200))
    for row in rows:
        number = int(row["id"].split()[1])
        assert row["input_ids"] == [number] * lengths[number] and row["labels"] == list(range(lengths[number]))
    numbers = [row["pack"] for row in rows]
    assert numbers[0] == 0 and set(np.diff(numbers).tolist()) == {0, 1}
    assert np.bincount(numbers, [len(row["input_ids"]) for row in rows]).max() <= CAPACITY
    edges = [
        (left.column("pack")[-1].as_py(), right.column("pack")[0].as_py()) for left, right in itertools.pairwise(done)
    ]
    assert all(right == left + 1 for left, right in edges)


def test_no_rows_make_no_batch() -> None:
    assert list(packed([], CAPACITY)) == []
    assert list(packed([batches([3], 1)[0].slice(0, 0)], CAPACITY)) == []


DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="module")
def conversations() -> list[int]:
    """Tokens of public conversations."""
    if not (DATA / "chat").is_dir():
        pytest.skip("the public conversations and tokenizers are not beside the repository")
    coder = Tokenizer.from_file(str(DATA / "tokenizers" / "llama-3.1" / "tokenizer.json"))
    with (DATA / "chat" / "chat_sgd_train.jsonl").open() as file:
        chats = ["\n".join(turn.get("content") or "" for turn in json.loads(line)["messages"]) for line in file]
    return [len(encoding.ids) for encoding in coder.encode_batch(chats)]


@pytest.mark.parametrize("capacity", [2048, 4096])
def test_real_conversations_fill_their_packs(conversations: list[int], capacity: int) -> None:
    packs = int(pack(conversations, capacity).max()) + 1
    assert sum(conversations) / (packs * capacity) >= 0.98
