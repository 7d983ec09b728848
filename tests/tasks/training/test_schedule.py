"""Epochs: as many steps as transformers itself would make of them, each row so many times, to the same bytes."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.align.settings import Settings as Align
from tasks.core.errors import SettingsError
from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train import run
from tasks.train.settings import Settings
from tasks.training import estimate, schedule, usage
from tasks.training import rows as rows_of
from tasks.training.launch import Launch
from tasks.training.trainer import Trainer
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL, hashes, kill_and_continue


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tiny.project(tmp_path_factory.mktemp("schedule"), method="none")
    template.run(template.Settings(), paths)
    return paths.root


def for_epochs(epochs: float, **values: Any) -> Settings:
    return SMALL.model_copy(update={"steps": None, "epochs": epochs, **values})


@pytest.mark.parametrize(
    ("epochs", "items", "batch", "accumulation", "drop_last", "expected"),
    [
        (1, 20, 4, 1, False, 5),
        (2, 70, 32, 1, False, 6),  # 32, 32 and 6 rows, twice
        (2, 70, 32, 1, True, 4),
        (3, 70, 32, 2, False, 6),  # 64 and 6 rows, three times
        (0.5, 70, 32, 1, False, 2),  # one and a half batches
        (0.1, 300, 10, 1, False, 3),  # 0.1 times 30 is more than 3 in floating point
        (1, 3, 32, 4, False, 1),
    ],
)
def test_steps_of_epochs(
    epochs: float, items: int, batch: int, accumulation: int, drop_last: bool, expected: int
) -> None:
    assert schedule.steps(epochs, items, batch, accumulation, drop_last) == expected


def test_processes_share_the_batches() -> None:
    asked = Settings(epochs=2, batch_size=4, launch=Launch(processes=2), gradient_accumulation=2)
    assert schedule.resolved("train", asked, 20).steps == 4  # 8, 8 and 4 rows a pass, two passes a step


def test_one_of_both_says_how_long() -> None:
    assert Settings(epochs=2).steps is None
    assert Settings().steps
    assert "epochs" not in Settings().model_dump(mode="json")  # records of older versions have no such key
    assert Settings.model_validate(Settings(epochs=2).model_dump(mode="json")).epochs == 2
    for values, message in (
        ({"steps": 5, "epochs": 2}, "steps = 5 and epochs = 2 both say"),
        ({"steps": None}, "neither steps nor epochs"),
        ({"epochs": 0}, "greater than 0"),
        ({"epochs": True}, "a number is expected"),
        ({"arguments": {"num_train_epochs": 2}}, "set by the key epochs"),
    ):
        with pytest.raises(ValidationError, match=message):
            Settings.model_validate(values)


def test_a_section_that_is_off_need_not_say_how_long() -> None:
    lacking = {"steps": None, "epochs": None}
    assert Settings.model_validate({"enabled": False, **lacking}).steps is None
    assert Align.model_validate({"objective": "off", **lacking}).steps is None
    for on in ({"objective": "dpo"}, {"objective": "grpo"}):
        with pytest.raises(ValidationError, match="neither steps nor epochs"):
            Align.model_validate({**on, **lacking})


@pytest.mark.parametrize("values", [{}, {"gradient_accumulation": 2}, {"arguments": {"dataloader_drop_last": True}}])
def test_it_ends_where_transformers_counts_so_many_epochs(project: Paths, values: dict[str, Any]) -> None:
    run.tune(for_epochs(2, batch_size=8, checkpoint_steps=99, **values), project)
    facts = json.loads((project.trained / "training.json").read_text())
    assert facts["steps"] == {1: 6, 2: 4}[values.get("gradient_accumulation", 1)] - 2 * ("arguments" in values)
    assert facts["epochs"] == 2
    assert facts["arguments"]["max_steps"] == facts["steps"]
    settings = json.loads((project.trained / "settings.json").read_text())
    assert (settings["steps"], settings["epochs"]) == (None, 2)


def test_every_row_is_seen_once_an_epoch(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [tuple(ids) for ids in rows_of.load(project.tokens("train"))["input_ids"]]
    seen: Counter[tuple[int, ...]] = Counter()
    step = Trainer.training_step

    def counting(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        ids, starts = inputs["input_ids"][0].tolist(), inputs["position_ids"][0].eq(0).nonzero().flatten().tolist()
        seen.update(tuple(ids[start:end]) for start, end in pairwise([*starts, len(ids)]))
        return step(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", counting)
    run.train_rows(for_epochs(2, batch_size=8, checkpoint_steps=99), project)
    assert seen == dict.fromkeys(rows, 2)


def test_packs_are_counted_where_rows_are_packed(project: Paths) -> None:
    template.run(template.Settings(packing=True, max_length=60), project)
    packs = json.loads(project.audit.read_text())["packing"]["packs"]
    run.tune(for_epochs(3, batch_size=2, checkpoint_steps=99), project)
    facts = json.loads((project.trained / "training.json").read_text())
    assert facts["packs"] == packs
    assert facts["steps"] == 3 * -(-packs // 2)


def test_the_same_bytes_after_a_kill_in_the_second_epoch(project: Paths) -> None:
    settings = for_epochs(2, batch_size=8)
    run.tune(settings, project)
    first = hashes(project)
    kill_and_continue(lambda: run.tune(settings, project), 5)
    assert hashes(project) == first


def test_an_epoch_without_a_batch_is_refused(project: Paths) -> None:
    with pytest.raises(SettingsError, match=r"train\.epochs: there are too few rows for one batch"):
        run.tune(for_epochs(2, batch_size=64, arguments={"dataloader_drop_last": True}), project)


def test_the_estimate_counts_steps_where_rows_are_known(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    run.tune(SMALL.model_copy(update={"steps": 20, "checkpoint_steps": 99}), Paths())
    by_steps = usage.estimate_seconds(Paths(), "train", SMALL.model_copy(update={"steps": 10}))
    assert usage.estimate_seconds(Paths(), "train", for_epochs(2)) == by_steps  # 20 rows in batches of 4, twice
    project.audit.unlink()
    assert usage.estimate_seconds(Paths(), "train", for_epochs(2)) is None
    assert estimate.checkpoints_kept(for_epochs(2)) == 3
