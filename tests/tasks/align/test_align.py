"""Alignment: objectives learn from the ids that were templated, start where they must, end in the same bytes."""

import csv
import json
import math
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tasks.align import stage
from tasks.align.settings import Settings
from tasks.align.trainers import LossAboveStart
from tasks.core.errors import CheckFailed, InputError, SettingsError
from tasks.core.files import sha256
from tasks.core.paths import Paths
from tasks.template.shards import JUDGED, PREFERENCES
from tasks.training import usage
from tests.tasks import tiny
from tests.tasks.train.test_train import kill_and_continue
from tests.tasks.training.test_interruption import stop_and_continue

SMALL = Settings(
    objective="dpo", steps=6, batch_size=4, learning_rate=1e-2, warmup_steps=1, threads=1, logging_steps=1,
    checkpoint_steps=2, eval_steps=3, dtype="float32",
)  # fmt: skip

settings_with = partial(tiny.changed, SMALL)


def write(path: Path, rows: list[dict[str, Any]], schema: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        if rows:
            stream.write_table(pa.Table.from_pylist(rows, schema=schema))


def preferences(paths: Paths) -> None:
    """Requests, with the right command chosen and another one rejected; and both as judged answers."""
    tokenizer = tiny.tokenizer()
    pairs, judged = [], []
    for number, chat in enumerate(tiny.conversations()):
        prompt = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, tokenize=True)["input_ids"]
        ids = [tokenizer(text + "<|im_end|>")["input_ids"] for text in (chat[1]["content"], "docker ps -a")]
        pairs.append({"id": str(number), "prompt_ids": prompt, "chosen_ids": ids[0], "rejected_ids": ids[1]})
        judged += [
            {"id": f"{number}{good}", "prompt_ids": prompt, "completion_ids": ids[not good], "label": bool(good)}
            for good in (1, 0)
        ]
    for split, rows_of_split in (("train", slice(0, 24)), ("validation", slice(24, 28))):
        write(paths.templated / "preferences" / f"{split}.arrow", pairs[rows_of_split], PREFERENCES)
        write(paths.templated / "judged" / f"{split}.arrow", judged[rows_of_split], JUDGED)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tiny.project(tmp_path_factory.mktemp("align"))
    (paths.trained / "training.json").write_text(json.dumps({"method": "lora"}))
    preferences(paths)
    return paths.root


def losses(folder: Path) -> list[float]:
    with (folder / "loss.csv").open() as file:
        return [float(point["loss"]) for point in csv.DictReader(file) if point["loss"]]


def hashes(paths: Paths) -> dict[str, str]:
    return {file.name: sha256(file) for file in sorted(paths.aligned.rglob("*")) if file.is_file()}


def test_off_makes_nothing_and_what_was_trained_goes_on(project: Paths) -> None:
    before = usage.usage_file(project, "align")
    before.parent.mkdir(parents=True)
    before.write_text("{}")
    stage.run(settings_with(objective="off", steps=None), project)
    assert not before.exists()
    assert sorted(file.name for file in project.aligned.iterdir()) == ["loss.csv", "settings.json"]
    assert project.trained == project.fitted


def test_without_training_the_base_is_aligned(project: Paths) -> None:
    from tasks.train import stage as train

    shutil.rmtree(project.fitted)
    train.run(train.Settings(enabled=False), project)
    assert sorted(file.name for file in project.fitted.iterdir()) == ["loss.csv", "settings.json"]
    with pytest.raises(InputError, match=r"set align\.start to base"):
        stage.run(SMALL, project)
    stage.run(settings_with(start="base", steps=2), project)
    assert project.trained == project.aligned


def test_dpo_goes_on_with_the_adapter_and_starts_at_ln_2(project: Paths) -> None:
    stage.run(settings_with(steps=12), project)
    assert project.trained == project.aligned
    curve = losses(project.aligned)
    assert curve[0] == pytest.approx(math.log(2), abs=1e-5)
    assert curve[-1] < curve[0] / 2
    facts = tiny.read(project.aligned / "training.json")
    assert facts["rows"] == 24
    assert facts["objective"] == "dpo"
    points = list(csv.DictReader((project.aligned / "loss.csv").read_text().splitlines()))
    rewards = {f"{split}{name}_reward" for split in ("", "eval_") for name in ("chosen", "rejected")}
    assert {"margin", "accuracy", *rewards} <= points[0].keys()
    margins = [float(point["chosen_reward"]) - float(point["rejected_reward"]) for point in points]
    assert margins == pytest.approx([float(point["margin"]) for point in points], abs=1e-5)
    assert float(points[0]["margin"]) == pytest.approx(0, abs=1e-5)
    assert float(points[-1]["accuracy"]) == 1
    config = tiny.read(project.aligned / "adapter_config.json")
    assert config["r"] == tiny.read(project.fitted / "adapter_config.json")["r"]
    assert config["base_model_name_or_path"] == "model"
    assert not (project.aligned / "ref").exists()


def test_a_loss_above_the_start_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    history: list[dict[str, float]] = []
    callback, state = LossAboveStart(), SimpleNamespace(log_history=history, global_step=0)
    for loss in (0.6931, 0.70, 0.69, 0.71, 0.69, 0.72, 0.80, 0.85, 0.90, 0.96):
        state.global_step += 1
        history.append({"loss": loss})
        callback.on_log(None, state, None, logs={"loss": loss})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("align: the loss is above ln 2 = 0.693 at step 7:")  # mean of 0.69 ... 0.80: 0.722


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_the_same_bytes_twice_and_after_a_kill(project: Paths, objective: str) -> None:
    settings = settings_with(objective=objective)
    stage.run(settings, project)
    first = hashes(project)
    kill_and_continue(lambda: stage.run(settings, project), 5)
    assert hashes(project) == first


@pytest.mark.parametrize("objective", ["dpo", "orpo"])
def test_stopped_between_two_lines_of_the_log_it_ends_in_the_same_bytes(project: Paths, objective: str) -> None:
    settings = settings_with(objective=objective, logging_steps=4, checkpoint_steps=99)
    stage.run(settings, project)
    first = hashes(project)
    stop_and_continue(lambda: stage.run(settings, project), 3)
    assert hashes(project) == first


@pytest.mark.parametrize("objective", ["kto", "orpo", "cpo", "simpo"])
def test_the_loss_falls(project: Paths, objective: str) -> None:
    stage.run(settings_with(objective=objective, start="base", steps=12), project)
    curve = losses(project.aligned)
    assert curve[-1] < curve[0]


def test_a_whole_model_goes_on_whole(project: Paths, tmp_path: Path) -> None:
    shutil.rmtree(project.fitted)
    tiny.model(project.fitted, vocabulary=len(tiny.tokenizer()), initializer_range=0.21)
    (project.fitted / "training.json").write_text(json.dumps({"method": "full"}))
    stage.run(settings_with(learning_rate=1e-3), project)
    assert losses(project.aligned)[0] == pytest.approx(math.log(2), abs=1e-5)
    assert (project.aligned / "model.safetensors").is_file()
    assert tiny.read(project.aligned / "training.json")["method"] == "full"


def test_a_reward_model_prefers_what_was_chosen_and_leaves_the_tuned_model_alone(project: Paths) -> None:
    from transformers import AutoModelForSequenceClassification

    stage.run(settings_with(objective="reward", steps=20), project)
    assert project.trained == project.fitted
    model = AutoModelForSequenceClassification.from_pretrained(project.aligned / "reward").eval()
    from tasks.align.items import read, whole

    rows = read(project, "validation", "reward")
    scores = []
    for row in rows:
        import torch

        token_ids = whole(row, row)
        with torch.no_grad():
            scores.append(
                [model(torch.tensor([token_ids[name]])).logits.item() for name in ("chosen_ids", "rejected_ids")]
            )
    assert all(chosen > rejected for chosen, rejected in scores)


def test_pairs_are_judged_answers_where_there_are_no_others(project: Paths) -> None:
    from tasks.align.items import counts, read

    write(project.templated / "judged" / "train.arrow", [], JUDGED)
    apart, pairs = read(project, "train", "kto"), read(project, "train", "dpo")
    assert len(apart) == 2 * len(pairs)
    assert [apart[index]["label"] for index in range(4)] == [True, False, True, False]
    assert apart[3]["completion_ids"] == pairs[1]["rejected_ids"]
    assert counts(apart)["supervised_tokens"] == counts(pairs)["supervised_tokens"]


def test_no_pairs_are_told_as_a_sentence(project: Paths) -> None:
    write(project.templated / "preferences" / "train.arrow", [], PREFERENCES)
    with pytest.raises(InputError, match=r"no row has pairs, but align\.objective dpo learns from"):
        stage.run(SMALL, project)
    assert not project.aligned.exists()


def test_a_start_away_from_the_reference_is_stopped(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.align.trainers import DPO

    prepared = DPO.train

    def moved(self: Any, *args: Any, **kwargs: Any) -> Any:
        for name, value in self.model.named_parameters():
            if ".default." in name:
                value.data.mul_(1.5)
        return prepared(self, *args, **kwargs)

    monkeypatch.setattr(DPO, "train", moved)
    with pytest.raises(CheckFailed, match="the reference already differs from the trained model"):
        stage.run(SMALL, project)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bet": 0.2}, r"unknown key 'align\.arguments\.bet'.*did you mean 'beta'"),
        ({"loss_type": "exo_pair"}, "Label smoothing must be greater"),
    ],
)
def test_arguments_that_trl_refuses_are_told_as_a_sentence(
    project: Paths, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        stage.run(settings_with(arguments=arguments), project)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "bco"}, "not offered: trl 1.16 no longer has BCO"),
        ({"arguments": {"seed": 1}}, "set by the key seed"),
        ({"arguments": {"loss_type": "kto_pair"}}, "dpo has no loss kto_pair"),
        ({"objective": "orpo", "arguments": {"loss_type": "sigmoid"}}, "orpo has one loss"),
        ({"group_by_length": True}, "Extra inputs are not permitted"),
        ({"padding_free": True}, "Extra inputs are not permitted"),
        (
            {"objective": "reward", "method": "qlora"},
            "a reward model is saved with all its weights, which cannot be quantised",
        ),
    ],
)
def test_what_is_not_offered_is_refused_with_the_reason(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_with(**values)


def test_epochs_are_so_many_batches_of_pairs(project: Paths) -> None:
    stage.run(settings_with(steps=None, epochs=1.5, batch_size=10, checkpoint_steps=99), project)
    facts = tiny.read(project.aligned / "training.json")
    assert facts["steps"] == 5  # 24 pairs are three batches
    assert facts["epochs"] == pytest.approx(5 / 3, abs=1e-3)
