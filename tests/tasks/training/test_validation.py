"""The validation loss is the mean over tokens, worked out here row by row, whatever shares a batch with a row."""

import csv
import io
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.functional import cross_entropy

from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train import run
from tasks.train.settings import Settings
from tasks.training import rows
from tasks.training.launch import Launch
from tasks.training.tuning_settings import LoRA
from tests.tasks import tiny
from tests.tasks.training.test_distributed import start
from tests.tasks.training.together import together

SETTINGS = Settings(
    steps=1, batch_size=4, learning_rate=1e-9, warmup_steps=0, threads=1, logging_steps=1, checkpoint_steps=100,
    eval_steps=1, lora=LoRA(r=2, alpha=4), scheduler="constant", dtype="float32",
)  # fmt: skip

LENGTHS = (1, 1, 1, 1, 1, 1, 1, 40, 40, 1)
"""Words of the answers that the loss is measured on: short ones beside long ones."""


def chats(lengths: tuple[int, ...], tag: str) -> list[list[dict[str, str]]]:
    source = random.Random(5)
    return [
        [
            {"role": "user", "content": f"{tag} {number} start web"},
            {"role": "assistant", "content": " ".join(source.choices(tiny.NAMES, k=length))},
        ]
        for number, length in enumerate(lengths)
    ]


@pytest.fixture(scope="module", params=[False, True], ids=["rows", "packs"])
def templated(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tiny.project(tmp_path_factory.mktemp("validation"), method="none")
    for split, part in (("train", chats((3,) * 20, "t")), ("validation", chats(LENGTHS, "v"))):
        pq.write_table(tiny.rows(split, part), paths.clean / f"{split}.parquet")
    template.run(template.Settings(packing=request.param), paths)
    return paths.root


def project(templated: Path, root: Path) -> Paths:
    shutil.copytree(templated / "data", root / "data")
    return Paths(root)


def by_hand(paths: Paths) -> float:
    """Nats a labelled token under the base, each row on its own."""
    model = tiny.loaded(paths.base / "model")
    total, tokens = 0.0, 0
    for row in rows.load(paths.tokens("validation")):
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"][1:])
        with torch.no_grad():
            logits = model(ids).logits[0, :-1].double()  # (T - 1, V)
        total += cross_entropy(logits, labels, reduction="sum").item()  # labels of -100 are left out
        tokens += int((labels != -100).sum())
    return total / tokens


def eval_loss(folder: Path) -> float:
    points = csv.DictReader(io.StringIO((folder / "loss.csv").read_text()))
    return next(float(point["eval_loss"]) for point in points if point["eval_loss"])


def measured(paths: Paths, **values: Any) -> float:
    run.tune(SETTINGS.model_copy(update=values), paths)
    return eval_loss(paths.trained)


def measured_by_workers(paths: Paths) -> float:
    """With a process that reads the rows, from a process of its own: forked from this one it would take its threads."""
    settings = SETTINGS.model_copy(update={"arguments": {"dataloader_num_workers": 1}})
    assert together(run.tune, paths, settings) == [0], (paths.root / "output-0.txt").read_text()
    return eval_loss(paths.trained)


def test_the_loss_is_that_of_the_rows_one_by_one(templated: Path, tmp_path: Path) -> None:
    paths = project(templated, tmp_path)
    wanted = by_hand(paths)
    losses = [measured(paths, batch_size=size) for size in (1, 3, 32)]  # alone, ragged, all at once
    assert losses == pytest.approx([wanted] * len(losses), rel=1e-5)


@pytest.mark.parametrize(
    "templated",
    [pytest.param(False, id="rows"), pytest.param(True, id="packs", marks=pytest.mark.long)],
    indirect=True,
)
def test_padding_and_workers_change_nothing(templated: Path, tmp_path: Path) -> None:
    paths = project(templated, tmp_path)
    wanted = by_hand(paths)
    packed = "pack" in rows.load(paths.tokens("train")).column_names
    assert measured_by_workers(paths) == pytest.approx(wanted, rel=1e-5)
    ways: list[dict[str, Any]] = (
        [] if packed else [{"padding_free": True}, {"padding_free": False}, {"group_by_length": True}]
    )
    for way in ways:
        assert measured(paths, **way) == pytest.approx(wanted, rel=1e-5), way


def test_a_tuned_whole_model_and_a_loss_of_its_own_are_measured_alike(templated: Path, tmp_path: Path) -> None:
    paths = project(templated, tmp_path)
    wanted = by_hand(paths)
    assert measured(paths, method="full") == pytest.approx(wanted, rel=1e-5)
    assert measured(paths, method="adalora", steps=12) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("templated", [False], indirect=True, ids=["rows"])
def test_each_row_counts_once_where_several_processes_share_them(templated: Path, tmp_path: Path) -> None:
    paths = project(templated, tmp_path)
    wanted = by_hand(paths)
    process = start(paths, **SETTINGS.model_copy(update={"launch": Launch(processes=3), "batch_size": 2}).model_dump())
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert eval_loss(paths.trained) == pytest.approx(wanted, rel=1e-5)
