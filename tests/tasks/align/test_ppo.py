"""PPO on a tiny model: rewarded more on prompts that it was not trained on, to the same bytes after a kill."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.align import stage
from tasks.core.errors import InputError, SettingsError
from tasks.core.paths import Paths
from tasks.models.record import base_folder
from tasks.training.rows import load
from tests.tasks import support, tiny
from tests.tasks.align.test_align import hashes
from tests.tasks.align.test_sampling import settings_with
from tests.tasks.train.test_train import kill_and_continue

PPO: dict[str, Any] = {
    "objective": "ppo", "steps": 16, "batch_size": 64, "answers": 8, "learning_rate": 3e-2, "checkpoint_steps": 4,
    "arguments": {
        "beta": 0.01, "num_iterations": 2, "kl_target": 2.0, "kl_horizon": 500, "value_learning_rate": 1e-3,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.project(tmp_path_factory.mktemp("ppo")).root


def held_out(paths: Paths, adapter: Path) -> float:
    """Mean reward of sampled answers to prompts that are not trained on; by the libraries' own loaders."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    coder = tiny.tokenizer()
    base = AutoModelForCausalLM.from_pretrained(base_folder(paths))
    model = PeftModel.from_pretrained(base, adapter).eval()
    torch.manual_seed(5)
    worth = []
    for row in load(paths.templated / "validation.arrow"):
        prompt = torch.tensor([row["input_ids"][: row["labels"].index(next(x for x in row["labels"] if x >= 0))]])
        answers = model.generate(
            input_ids=prompt, do_sample=True, max_new_tokens=6, num_return_sequences=64, pad_token_id=coder.pad_token_id
        )
        for answer in coder.batch_decode(answers[:, prompt.shape[1] :], skip_special_tokens=True):
            worth.append(sum(letter in "aeiou" for letter in answer) / (len(answer) or 1))
    return sum(worth) / len(worth)


def test_ppo_is_rewarded_more_on_held_out_prompts_and_ends_in_the_same_bytes_after_a_kill(project: Paths) -> None:
    settings = settings_with(**PPO | {"steps": 12})
    before = held_out(project, project.fitted)
    stage.run(settings, project)
    assert held_out(project, project.aligned) > 1.5 * before
    curve = project.aligned / "loss.csv"
    assert len(set(support.column(curve, "kl_coefficient"))) > 2
    assert support.column(curve, "kl")[0] == pytest.approx(0, abs=1e-3)
    assert not list(project.aligned.glob("value*"))
    first = hashes(project)
    kill_and_continue(lambda: stage.run(settings, project), 9)
    assert hashes(project) == first


@pytest.mark.long
def test_rloo_is_rewarded_more_from_the_same_start_too(project: Paths) -> None:
    before = held_out(project, project.fitted)
    arguments = {"beta": 0.01, "num_iterations": 2, "normalize_advantages": True}
    stage.run(settings_with(**PPO | {"objective": "rloo", "arguments": arguments}), project)
    assert held_out(project, project.aligned) > 1.2 * before


def test_a_model_of_its_own_tells_values(project: Paths) -> None:
    shutil.rmtree(project.fitted)
    tiny.model(project.fitted, vocabulary=len(tiny.tokenizer()), initializer_range=0.21)
    (project.fitted / "training.json").write_text(json.dumps({"method": "full"}))
    values = {"value": "liked", "steps": 8, "batch_size": 32, "learning_rate": 3e-3}
    arguments = {**PPO["arguments"], "value_learning_rate": 3e-3}
    stage.run(settings_with(**PPO | values | {"arguments": arguments}), project)
    variance = support.column(project.aligned / "loss.csv", "explained_variance")
    assert variance[-1] > variance[0]
    assert "score" not in (project.aligned / "config.json").read_text()


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"value": "none"}, InputError, r"no such folder, but align\.value names this model"),
        ({"arguments": {"lam": 1.5}}, SettingsError, r"lam is 1\.5, but must be from 0 to 1"),
        ({"arguments": {"kl_target": 0.0}}, SettingsError, "remove kl_target for a fixed beta"),
        ({"checkpoint_steps": 3}, SettingsError, r"make align\.checkpoint_steps a multiple of 4"),
    ],
)
def test_what_cannot_work_is_refused_by_the_check(
    project: Paths, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        stage.validate(settings_with(**{"objective": "ppo", "checkpoint_steps": 4, **values}), project)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "muon"}, "optimizer to one other than muon"),
        ({"launch": {"processes": 2}}, "is untested with several processes"),
        ({"arguments": {"num_iterations": 1, "cliprange_value": 0.1}}, "no effect if each answer is used for a single"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_with(objective="ppo", **values)
