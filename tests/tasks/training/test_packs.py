"""Training on packed rows: they stay apart, losses and gradients are theirs, and a kill does not change the bytes."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tasks.core.errors import CheckFailed, InputError, SettingsError
from tasks.core.paths import Paths
from tasks.models.loading import load_model
from tasks.models.private_transformers import attention
from tasks.models.record import base_folder
from tasks.rows.canonical import IGNORED
from tasks.template import stage as template
from tasks.template.packing import packed
from tasks.train import run
from tasks.train.settings import Settings
from tasks.training import row_attention, rows, trainer
from tasks.training.packs import Packs, StackedCollator, choose_collator
from tasks.training.padding import FLAT_COLLATOR, Collator
from tasks.training.tuning_settings import LoRA
from tests.tasks import tiny
from tests.tasks.train.test_train import hashes, kill_and_continue
from tests.tasks.training.test_padding import recurrent

CAPACITY = 100
SMALL = Settings(
    steps=9, batch_size=2, learning_rate=1e-2, warmup_steps=1, threads=1, dtype="float32", logging_steps=1,
    checkpoint_steps=4, eval_steps=5, lora=LoRA(r=2, alpha=4),
)  # fmt: skip


def repack(path: Path, rows_a_batch: int) -> None:
    """Write the rows in `path` again, packed, in record batches that end where they happen to."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        plain = stream.read_all().select(["id", "input_ids", "labels"])
    table = pa.Table.from_batches(packed(plain.to_batches(), CAPACITY))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows_a_batch)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    root = tmp_path_factory.mktemp("plain")
    template.run(template.Settings(), tiny.project(root, method="none"))
    return Paths(root)


@pytest.fixture(scope="module")
def project(plain: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    root = tmp_path_factory.mktemp("packed")
    shutil.copytree(plain.root / "data", root / "data")
    paths = Paths(root)
    repack(paths.templated / "train.arrow", 3)
    return paths


@pytest.fixture
def train(project: Paths) -> Any:
    return rows.load(project.templated / "train.arrow")


@pytest.fixture
def model(project: Paths) -> Any:
    return load_model(base_folder(project))


def test_a_pack_is_its_rows_one_after_the_other(train: Any) -> None:
    packs = Packs(train)
    rows_of_table = train.data.table.to_pylist()
    assert 1 < len(packs) < len(rows_of_table)
    assert rows.count(packs) == rows.count(train)
    for number, pack in enumerate(packs[index] for index in range(len(packs))):
        members = [row for row in rows_of_table if row["pack"] == number]
        assert pack["input_ids"].tolist() == [token for row in members for token in row["input_ids"]]
        assert pack["labels"].tolist() == [token for row in members for token in row["labels"]]
        assert pack["seq_lengths"] == [len(row["input_ids"]) for row in members]


def test_packs_are_pickled_by_the_path_of_their_file(train: Any) -> None:
    packs = Packs(train)
    data = pickle.dumps(packs)
    assert len(data) < 8 * len(packs) + 4000 < train.data.nbytes
    assert pickle.loads(data)[1]["input_ids"].tolist() == packs[1]["input_ids"].tolist()


def test_rows_that_are_not_packed_are_packs_of_one(plain: Paths) -> None:
    validation = rows.load(plain.templated / "validation.arrow")
    packs = Packs(validation)
    assert len(packs) == len(validation)
    assert packs[2]["input_ids"].tolist() == validation[2]["input_ids"]
    assert packs[2]["seq_lengths"] == [len(validation[2]["input_ids"])]


@pytest.mark.parametrize("numbers", [[0, 1, 0], [1, 1, 2], [0, 2, 2]])
def test_packs_that_do_not_ascend_are_refused(tmp_path: Path, numbers: list[int]) -> None:
    table = pa.table({"input_ids": [[1]] * 3, "labels": [[1]] * 3, "pack": pa.array(numbers, pa.int32())})
    with pa.OSFile(str(tmp_path / "train.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match="run the stage template again"):
        Packs(rows.load(tmp_path / "train.arrow"))


def test_a_batch_has_no_mask_and_no_prediction_across_rows(train: Any) -> None:
    packs = Packs(train)
    items = [packs[0], packs[len(packs) - 1]]
    batch = StackedCollator()(items)
    assert set(batch) == {"input_ids", "labels", "position_ids"}
    for line, pack in enumerate(items):
        at = 0
        for length in pack["seq_lengths"]:
            assert batch["position_ids"][line, at : at + length].tolist() == list(range(length))
            assert batch["labels"][line, at] == IGNORED
            assert batch["labels"][line, at + 1 : at + length].tolist() == pack["labels"][at + 1 : at + length].tolist()
            at += length
        assert not batch["position_ids"][line, at:].any()
        assert (batch["labels"][line, at:] == IGNORED).all()


def losses(model: Any, batch: dict[str, Any]) -> tuple[Any, Any]:
    """Sum of the losses, and the logits, in evaluation mode."""
    labels = batch.pop("labels")
    logits = model(**batch, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return loss, logits


def gradient(model: Any) -> Any:
    actual = torch.cat([value.grad.flatten() for value in model.parameters()])
    model.zero_grad()
    return actual


@pytest.mark.parametrize("form", [StackedCollator(), FLAT_COLLATOR], ids=["stacked", "flat"])
def test_losses_logits_and_gradients_are_those_of_the_rows_alone(model: Any, train: Any, form: Collator) -> None:
    packs = Packs(train)
    loss, logits = losses(model, form([packs[index] for index in range(len(packs))]))
    loss.backward()
    together = gradient(model)
    alone = 0.0
    actual = logits.flatten(0, 1)
    width = logits.shape[1]
    at, line = 0, 0
    for row in train:
        if len(logits) > 1 and row["pack"] != line:
            line, at = row["pack"], row["pack"] * width
        ids, labels = (torch.tensor([row[name]]) for name in ("input_ids", "labels"))
        own, expected = losses(model, {"input_ids": ids, "labels": labels})
        torch.testing.assert_close(actual[at : at + ids.shape[1]], expected[0], rtol=1e-5, atol=1e-5)
        at += ids.shape[1]
        own.backward()
        alone += own.item()
    assert loss.item() == pytest.approx(alone, rel=1e-6)
    difference = (gradient(model) - together).norm() / together.norm()
    assert difference < 1e-6


def curve(paths: Paths, train: Any, folder: Path, **settings: Any) -> list[float]:
    """The losses of a run, a step each."""
    from transformers import AutoTokenizer

    asked = SMALL.model_copy(update={"steps": 3, **settings})
    trainer.prepare(asked)
    tokenizer = AutoTokenizer.from_pretrained(paths.templated / "tokenizer")
    done = trainer.fit("train", load_model(base_folder(paths)), tokenizer, train, asked, folder)
    return [float(line.split(",")[1]) for line in done.curve.splitlines()[1:] if line.split(",")[1]]


def test_the_first_loss_is_that_of_the_same_rows_unpacked(
    project: Paths, plain: Paths, train: Any, tmp_path: Path
) -> None:
    every = rows.load(plain.templated / "train.arrow")
    expected = curve(plain, every, tmp_path / "rows", batch_size=len(every), padding_free=False)
    actual = curve(project, train, tmp_path / "packs", batch_size=len(Packs(train)))
    assert actual == pytest.approx(expected, rel=1e-4)
    assert actual[0] == pytest.approx(expected[0], rel=1e-6)


def test_four_packs_at_once_are_one_pack_four_times(project: Paths, train: Any, tmp_path: Path) -> None:
    at_once = curve(project, train, tmp_path / "once", batch_size=4)
    in_turn = curve(project, train, tmp_path / "turn", batch_size=1, gradient_accumulation=4)
    assert in_turn == pytest.approx(at_once, rel=1e-5)


def mixing(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """Attention to every token before, whatever the mask."""
    return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, None, **options)


class Careless(torch.nn.Module):
    """Keeps rows apart in one line and not in several, as flash attention does."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, position_ids: Any = None, **kwargs: Any) -> Any:
        places = position_ids if len(input_ids) == 1 else None
        return self.model(input_ids=input_ids, position_ids=places, **kwargs)


def test_the_form_of_a_batch_is_one_in_which_the_model_keeps_rows_apart(
    project: Paths, model: Any, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_row = load_model(base_folder(project))
    assert choose_collator("train", by_row, train) is FLAT_COLLATOR
    assert attention(by_row) == row_attention.NAME
    monkeypatch.setattr(row_attention, "attend", mixing)
    assert choose_collator("train", model, train) == StackedCollator()
    assert attention(model) == "sdpa"
    assert choose_collator("train", Careless(model), train) is FLAT_COLLATOR
    with pytest.raises(CheckFailed, match=r"mixes rows that share a pack.*template\.packing to false"):
        choose_collator("train", recurrent(model.config.vocab_size), train)


@pytest.mark.parametrize("grouped", [False, True], ids=["packed", "grouped"])
def test_the_same_bytes_twice_and_after_a_kill_in_a_later_epoch(
    project: Paths, plain: Paths, grouped: bool, tmp_path: Path
) -> None:
    shutil.copytree((plain if grouped else project).root / "data", tmp_path / "data")
    paths = Paths(tmp_path)
    asked = SMALL.model_copy(
        update={"group_by_length": grouped, "batch_size": 8 if grouped else 2, "padding_free": False}
    )
    run.tune(asked, paths)
    first = hashes(paths)
    facts = tiny.read(paths.trained / "training.json")
    assert facts["epochs"] > 2
    assert ("packs" in facts) is not grouped
    rows_of_table = tiny.read(paths.templated / "audit.json")["splits"]["train"]["trained"]
    assert {name: facts[name] for name in rows_of_table} == rows_of_table
    kill_and_continue(lambda: run.tune(asked, paths), 6)
    assert hashes(paths) == first


def test_packs_are_not_grouped_by_length(project: Paths, train: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"train\.group_by_length has no effect on packed rows"):
        curve(project, train, tmp_path, group_by_length=True)
