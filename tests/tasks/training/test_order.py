"""Rows and packs in the order of their length or of a key, the same after a kill."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from accelerate.data_loader import BatchSamplerShard
from pydantic import ValidationError
from torch.utils.data import BatchSampler

from tasks.core.errors import SettingsError
from tasks.core.paths import Paths
from tasks.template.packing import packed_in_order
from tasks.train import run
from tasks.train.settings import Settings
from tasks.training import rows, trainer
from tasks.training.packs import Packs
from tasks.training.samplers import OrderedSampler
from tasks.training.settings import Order, check_row_sharing
from tests.tasks.train.test_train import hashes, kill_and_continue
from tests.tasks.training.test_packs import CAPACITY, SMALL, plain

__all__ = ["plain"]


def table_of(path: Path) -> Any:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        return stream.read_all().select(["id", "input_ids", "labels"])


def with_order(path: Path, values: Any, *, packed: bool) -> None:
    """Write the rows in `path` again with the column `order`, in packs by it or as they are."""
    table = table_of(path).append_column("order", pa.array(values))
    if packed:
        table = pa.Table.from_batches(packed_in_order(table, CAPACITY))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def test_ranks_rise_and_equal_ones_are_others_each_epoch() -> None:
    ranks = np.array([2, 1, 3, 1, 1, 2, 1, 1])
    sampler = OrderedSampler(ranks, seed=3)
    first = list(sampler)
    assert sorted(first) == list(range(8))
    assert ranks[first].tolist() == [1, 1, 1, 1, 1, 2, 2, 3]
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    assert ranks[second].tolist() == ranks[first].tolist()
    assert list(OrderedSampler(ranks, seed=4)) != first


def test_processes_take_the_batches_in_turns() -> None:
    batches = BatchSampler(OrderedSampler(np.arange(12)[::-1], seed=1), 2, drop_last=False)
    shares = [list(BatchSamplerShard(batches, num_processes=2, process_index=index)) for index in range(2)]
    assert shares == [[[11, 10], [7, 6], [3, 2]], [[9, 8], [5, 4], [1, 0]]]


@pytest.mark.parametrize("values", [[5, 1, 4, 2, 3], ["e", "a", "d", "b", "c"]])
def test_packs_in_order_take_the_next_rows_as_far_as_they_fit(values: list[Any]) -> None:
    ids = [[row] * length for row, length in enumerate([4, 6, 3, 5, 4])]
    table = pa.table({"input_ids": pa.array(ids, pa.list_(pa.int32())), "order": values})
    batch = pa.Table.from_batches(packed_in_order(table, 9))
    # in the order rows 1 (6 tokens), 3 (5), 4 (4), 2 (3), 0 (4): 6 | 5 + 4 | 3 + 4
    assert [row[0] for row in batch.column("input_ids").to_pylist()] == [1, 3, 4, 2, 0]
    assert batch.column("pack").to_pylist() == [0, 1, 1, 2, 2]


def test_many_packs_in_order_lose_no_row() -> None:
    generator = np.random.default_rng(1)
    lengths, keys = generator.integers(1, 10, 5000), generator.integers(0, 40, 5000)
    ids = pa.array([[row] * length for row, length in enumerate(lengths.tolist())], pa.list_(pa.int32()))
    table = pa.Table.from_batches(packed_in_order(pa.table({"input_ids": ids, "order": keys}), 12))
    numbers = table.column("pack").to_numpy()
    assert sorted(row[0] for row in table.column("input_ids").to_pylist()) == list(range(5000))
    assert (np.diff(table.column("order").to_numpy()) >= 0).all()
    assert set(np.diff(numbers).tolist()) == {0, 1} and numbers[0] == 0
    sizes = np.bincount(numbers, weights=[len(row) for row in table.column("input_ids").to_pylist()])
    assert sizes.max() <= 12
    firsts = np.array([len(row) for row in table.column("input_ids").to_pylist()])[np.flatnonzero(np.diff(numbers)) + 1]
    assert (sizes[:-1] + firsts > 12).all()  # no pack had room for the row after it


@pytest.mark.parametrize(("order", "packed"), [("length", False), ("key", False), ("key", True)])
def test_training_goes_by_the_order_and_ends_in_the_same_bytes_after_a_kill(
    plain: Paths, order: Order, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(plain.root / "data", tmp_path / "data")
    paths = Paths(tmp_path)
    file = paths.tokens("train")
    with_order(file, [sum(ids) % 5 for ids in table_of(file).column("input_ids").to_pylist()], packed=packed)
    items = Packs(rows.load(file))
    first_row = [
        item["input_ids"][: item["seq_lengths"][0]].tolist() for item in map(items.__getitem__, range(len(items)))
    ]
    rank = len if order == "length" else lambda ids: sum(ids) % 5
    lines: list[list[int]] = []
    monkeypatch.setattr(trainer.Trainer, "training_step", recorded(trainer.Trainer.training_step, lines))
    monkeypatch.setattr("tasks.training.row_attention.use", lambda model: False)  # a pack to a line, to be told apart
    settings = SMALL.model_copy(update={"order": order, "padding_free": False, "batch_size": 2 if packed else 4})
    run.tune(settings, paths)
    # which item a line is: the longest one that it begins with, for what is behind it is padding
    trained = [max((ids for ids in first_row if line[: len(ids)] == ids), key=len) for line in lines]
    assert len(trained) > len(items)  # more than an epoch
    epochs = [trained[start : start + len(items)] for start in range(0, len(trained), len(items))]
    assert sorted(epochs[0]) == sorted(first_row)
    for epoch in epochs:
        assert [rank(ids) for ids in epoch] == sorted(map(rank, first_row))[: len(epoch)]
    first = hashes(paths)
    kill_and_continue(lambda: run.tune(settings, paths), 6)
    assert hashes(paths) == first


def recorded(step: Any, lines: list[list[int]]) -> Any:
    def training_step(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        lines.extend(inputs["input_ids"].tolist())
        return step(self, model, inputs, *args, **kwargs)

    return training_step


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"order": "length", "group_by_length": True}, "group_by_length sets its own"),
        ({"order": "key", "arguments": {"train_sampling_strategy": "sequential"}}, "no effect with order: key"),
        ({"order": "random"}, "'shuffled', 'length' or 'key'"),
    ],
)
def test_an_order_without_effect_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(values)


def test_packs_have_no_order_of_length_and_rows_without_a_key_none_of_keys(plain: Paths, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"train\.order length has no effect on packs"):
        check_row_sharing("train", Settings(order="length"), packed=True)
    shutil.copytree(plain.root / "data", tmp_path / "data")
    with pytest.raises(SettingsError, match=r"train\.order key needs clean\.order_key, which is null"):
        run.tune(SMALL.model_copy(update={"order": "key"}), Paths(tmp_path))


def test_rows_that_the_steps_do_not_reach_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    settings = SMALL.model_copy(update={"order": "length", "gradient_accumulation": 2})
    trainer._tell_untrained("train", settings, 36, "rows")  # 9 steps of 2 x 2
    assert not capsys.readouterr().out
    trainer._tell_untrained("train", settings, 50, "packs")
    assert "9 steps are less than an epoch, so the last 14 of 50 packs in the order" in capsys.readouterr().out


def test_a_run_in_the_usual_order_has_the_record_of_older_ones() -> None:
    assert "order" not in Settings().model_dump()
