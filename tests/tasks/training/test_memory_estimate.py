"""Training takes the memory that was estimated, and the estimate leaves no trace."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.params.model import change
from tasks.core.errors import MachineError
from tasks.core.files import sha256
from tasks.core.fixed import FIXED
from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train import run
from tasks.training import kept_passes, memory_estimate, usage
from tasks.training.kept_passes import KeptPasses, Passes
from tasks.training.tuning_settings import LoRA
from tests.flows.project import ROOT
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tiny.project(tmp_path_factory.mktemp("priced"), method="none")
    template.run(template.Settings(), paths)
    return paths.root


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A base of 26 million weights, and packs of 256 tokens: what training takes is not lost in what libraries take."""
    paths = tiny.project(tmp_path_factory.mktemp("large"), method="none")
    shutil.rmtree(paths.base / "model")
    base = tiny.model(
        paths.base / "model", vocabulary=16_000, hidden_size=512, intermediate_size=1408, num_hidden_layers=6,
        initializer_range=0.02,
    )  # fmt: skip
    tiny.tokenizer().save_pretrained(base)
    tiny.record(paths, base, "trained", "model")
    pq.write_table(tiny.rows("train", tiny.conversations() * 25), paths.clean / "train.parquet")
    template.run(template.Settings(packing=True, max_length=256), paths)
    return paths


TRAIN = """
import sys
from tasks.__main__ import main
from tasks.training import memory_estimate
memory_estimate.ROOM = float(sys.argv[1])
sys.exit(main(["train"]))
"""


def amounts(paths: Paths, asked: list[str], room: float) -> tuple[int, int]:
    """The memory that was foretold and that which was used, by a process of its own: what a test took is not counted.

    `room`: see `memory_estimate.ROOM`.
    """
    shutil.copy(ROOT / "params.yaml", paths.root)
    change(["train.steps=4", "train.checkpoint_steps=2", *asked], path=paths.root / "params.yaml")
    environment = {**os.environ, **FIXED, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", TRAIN, str(room)], cwd=paths.root, env=environment, check=True)
    kept = usage.load(paths, "train")
    return kept["foretold"]["memory"], kept["used"]["memory"]


@pytest.mark.long
@pytest.mark.parametrize(
    "asked",
    [
        ["train.method=lora", "train.batch_size=4"],
        ["train.method=lora", "train.batch_size=16", "train.gradient_checkpointing=true"],
        ["train.method=full", "train.batch_size=4"],
        ["train.method=full", "train.batch_size=16"],
        ["train.method=full", "train.batch_size=4", "train.optimizer=adafactor"],
    ],
    ids=" ".join,
)
def test_memory_measured_on_the_largest_batch_is_foretold_within_a_fifth(large: Paths, asked: list[str]) -> None:
    foretold, used = amounts(large, asked, math.inf)
    assert foretold == pytest.approx(used, rel=0.2)


@pytest.mark.long
@pytest.mark.parametrize("method", ["lora", "full"])
def test_memory_measured_on_one_item_is_more_than_training_takes(large: Paths, method: str) -> None:
    foretold, used = amounts(large, [f"train.method={method}", "train.batch_size=16", "train.seed=8"], 1)
    assert used < foretold < memory_estimate.ROOM * used


def test_pricing_leaves_no_trace(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for passes in (True, False):
        shutil.rmtree(project.data / "prices", ignore_errors=True)
        if not passes:
            monkeypatch.setattr(
                memory_estimate, "measure_pass", lambda trainer, forward, count: memory_estimate.in_use()
            )
        run.tune(SMALL.model_copy(update={"steps": 4, "lora": LoRA(dropout=0.3)}), project)
        files = sorted(file for file in project.fitted.rglob("*") if file.is_file())
        results.append({file.name: sha256(file) for file in files})
    assert results[0] == results[1]


def test_more_items_than_fit_twice_are_not_tried(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    before = memory_estimate.in_use()

    def measure_pass(trainer: Any, forward: Any, count: int) -> int:
        tried.append(count)
        return before + count * 2**30

    monkeypatch.setattr(memory_estimate, "measure_pass", measure_pass)
    monkeypatch.setattr(memory_estimate, "in_use", lambda: before)
    monkeypatch.setattr(memory_estimate, "available", lambda: 9 * 2**30)
    with pytest.raises(MachineError, match=r"16.00 GiB\), but only 9.00 GiB is available; set train.batch_size to"):
        run.tune(SMALL.model_copy(update={"batch_size": 16}), project)
    assert tried == [1, 4]
    assert not usage.load(project, "train")


class Priced(BaseException):
    """Ends a run where its first step would begin."""


def test_a_training_like_an_earlier_one_tries_no_pass(
    project: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []
    before = memory_estimate.in_use()

    def measure_pass(trainer: Any, forward: Any, count: int) -> int:
        tried.append(count)
        return before + (1 + count) * 2**20

    monkeypatch.setattr(memory_estimate, "measure_pass", measure_pass)
    monkeypatch.setattr(memory_estimate, "in_use", lambda: before)
    needed: list[int] = []

    def check_resources(what: str, needs: memory_estimate.MemoryEstimate, *more: Any) -> None:
        needed.append(needs.memory)
        raise Priced

    monkeypatch.setattr(memory_estimate, "check_resources", check_resources)

    def price(**changed: Any) -> None:
        tried.clear()
        with pytest.raises(Priced):
            run.tune(SMALL.model_copy(update=changed), project)

    cases: list[tuple[dict[str, Any], int, list[int]]] = [
        ({}, 2**30, [1]),
        ({"learning_rate": 0.02, "steps": 3, "seed": 9}, 2**30, []),
        ({"batch_size": 2}, 2**30, [1]),
        ({"lora": LoRA(r=2)}, 2**30, [1]),
        ({}, 2**30, []),
        ({}, 12 * 2**20, [1, 3]),
        ({}, 2**30, []),
    ]
    for changed, free, passes in cases:
        monkeypatch.setattr(memory_estimate, "available", lambda free=free: free)
        price(**changed)
        assert tried == passes, (changed, free)
        of_one_item = len(needed) <= 5  # afterwards three were tried
        assert ("needs about" in capsys.readouterr().out) is of_one_item
    assert needed[0] == needed[1] == needed[4] > needed[2]
    assert needed[5] == needed[6] < needed[0], "by the larger pass an item more takes 1 MiB, by the smaller one all 2"
    file = usage.passes_file(project, "train")
    for text in ("", "[", '{"key": 1}', file.read_text().replace('"most": ', '"most": -')):
        file.write_text(text)
        price()
        assert tried == [1]


def test_kept_passes_of_fewer_items_than_fit_now_are_not_enough(tmp_path: Path) -> None:
    kept = KeptPasses(tmp_path / "passes.json", "key")
    assert kept.load() is None
    kept.save(Passes(one=10, most=40, count=4))
    for number in range(kept_passes.MOST - 1):
        KeptPasses(kept.file, f"other {number}").save(Passes(1, 1, 1))
    assert kept.load() == Passes(10, 40, 4)
    assert Passes(10, 40, 4).each(gradients=5) == 10
    assert Passes(10, 10, 1).each(gradients=4) == 6
    assert Passes(10, 40, 4).of(6, gradients=5) == 60
    assert Passes(10, 10, 1).of(3, gradients=4) == 22
    KeptPasses(kept.file, "one more").save(Passes(1, 1, 1))
    assert kept.load() is None, "the oldest goes"
