"""Answers while a model is trained: of fixed prompts, to the same weights, and none lost or twice after a kill."""

from pathlib import Path
from typing import Any

import pytest

from tasks.align import stage as alignment
from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train import run
from tasks.training.rows import load
from tasks.training.samples import spread, turn
from tasks.training.settings import Samples
from tests.tasks import support, tiny
from tests.tasks.align.test_sampling import settings_with
from tests.tasks.train.test_train import SMALL, hashes, kill_and_continue
from tests.tasks.training.test_strategies import by, trained
from tests.tasks.training.test_strategies import project as several

ASKED = SMALL.model_copy(update={"samples": Samples(prompts=2, tokens=5)})
"""Six steps, an evaluation at 3 and 6, a checkpoint every 2."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("templated")
    template.run(template.Settings(), tiny.project(root, method="none"))
    return root


def weights(hashed: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in hashed.items() if name.endswith(".safetensors") or name == "loss.csv"}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_weights_are_those_of_a_run_without_and_a_kill_loses_no_answer(project: Paths, method: str) -> None:
    settings = ASKED.model_copy(update={"method": method, "neftune": 5.0})
    run.tune(settings.model_copy(update={"samples": Samples()}), project)
    without = hashes(project)
    assert "samples.json" not in without
    run.tune(settings, project)
    asked = hashes(project)
    assert weights(asked) == weights(without)
    kill_and_continue(lambda: run.tune(settings, project), 5)
    assert hashes(project) == asked
    samples = tiny.read(project.fitted / "samples.json")
    assert [entry["step"] for entry in samples["steps"]] == [0, 3, 6]
    assert all(len(entry["samples"]) == 2 for entry in samples["steps"])


def test_answers_are_the_likeliest_tokens_of_the_model_as_it_is_then(project: Paths) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run.tune(ASKED, project)
    samples = tiny.read(project.fitted / "samples.json")
    tokenizer = tiny.tokenizer()
    rows = load(project.tokens("validation"))
    turns = _read([turn(rows[0]), turn(rows[len(rows) // 2])], tokenizer)
    assert samples["prompts"] == [
        {"prompt": tokenizer.decode(ids, skip_special_tokens=True), "reference": answer} for ids, answer in turns
    ]
    for entry, trained_weights in ((samples["steps"][0], False), (samples["steps"][-1], True)):
        model: Any = AutoModelForCausalLM.from_pretrained(project.base / "model", dtype=torch.float32)
        if trained_weights:
            model = PeftModel.from_pretrained(model, project.fitted)
        for (prompt, _), answer in zip(turns, entry["samples"], strict=True):
            ids = list(prompt)
            for _ in range(5):
                with torch.no_grad():
                    ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
                if ids[-1] == tokenizer.eos_token_id:
                    break
            expected = tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)
            assert answer == {"text": expected, "ended": ids[-1] == tokenizer.eos_token_id}


def _read(turns: list[Any], tokenizer: Any) -> list[tuple[list[int], str]]:
    return [(prompt, tokenizer.decode(reference, skip_special_tokens=True)) for prompt, reference in turns]


def test_answers_that_the_training_draws_stand_with_what_each_reward_gave(tmp_path: Path) -> None:
    paths = support.project(tmp_path)
    rewards = [{"kind": "function", "name": "taste.py:taste"}, {"kind": "pattern", "pattern": "o", "weight": 0.5}]
    settings = settings_with(rewards=rewards, eval_steps=2, samples={"prompts": 3, "tokens": 4})
    without = settings_with(rewards=rewards, eval_steps=2)
    alignment.run(without, paths)
    plain = hashes(paths)
    alignment.run(settings, paths)
    asked = hashes(paths)
    assert weights(asked) == weights(plain)
    kill_and_continue(lambda: alignment.run(settings, paths), 5)
    assert hashes(paths) == asked
    steps = tiny.read(paths.aligned / "samples.json")["steps"]
    assert [entry["step"] for entry in steps] == [0, 2, 4, 6]
    assert "drawn" not in steps[0], "nothing is drawn before the first step"
    for entry in steps[1:]:
        assert len(entry["drawn"]) == 3
        for answer in entry["drawn"]:
            pattern = {"value": float("o" in answer["answer"]), "weight": 0.5}
            assert answer["rewards"]["1_pattern"] == pattern
            assert answer["rewards"]["0_function"]["weight"] == 1.0
            assert answer["reference"].startswith("docker")


def test_preferences_are_asked_their_held_out_prompts(tmp_path: Path) -> None:
    paths = support.project(tmp_path)
    values = {"rewards": [], "steps": 2, "eval_steps": 1, "max_start": 0.1, "samples": {"prompts": 2, "tokens": 3}}
    alignment.run(settings_with(objective="dpo", batch_size=4, **values), paths)
    samples = tiny.read(paths.aligned / "samples.json")
    pairs = load(paths.templated / "preferences" / "validation.arrow")
    expected = tiny.tokenizer().decode(pairs[0]["chosen_ids"], skip_special_tokens=True)
    assert samples["prompts"][0]["reference"] == expected
    assert [entry["step"] for entry in samples["steps"]] == [0, 1, 2]


def test_prompts_are_spread_over_the_rows_that_have_one_and_fit() -> None:
    def row(prompt: int, answer: int) -> dict[str, Any]:
        ids = list(range(prompt + answer))
        return {"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]}

    rows = [row(9, 1), row(2, 1), row(0, 3), row(3, 1), row(3, 0), row(2, 2), row(4, 1)]
    assert spread(rows, 2, longest=3) == [([0, 1], [2]), ([0, 1, 2], [3])]
    assert spread(rows, 7, longest=3) == [([0, 1], [2]), ([0, 1, 2], [3]), ([0, 1], [2, 3])]
    assert spread([], 2, longest=3) == []
    judged = {"prompt_ids": [1], "completion_ids": [2]}
    assert turn({**judged, "label": False}) is None
    assert turn({**judged, "label": True}) == ([1], [2])


def test_rows_without_a_prompt_are_told_and_nothing_is_asked(project: Paths, capsys: Any) -> None:
    samples = Samples(prompts=2, tokens=1000)
    run.tune(SMALL.model_copy(update={"steps": 2, "samples": samples}), project)
    assert "leaves room for 1000 tokens in the context" in capsys.readouterr().out
    assert not (project.fitted / "samples.json").exists()


def test_a_reward_model_answers_nothing() -> None:
    with pytest.raises(ValueError, match=r"a reward model generates no answers; set samples\.prompts to 0"):
        settings_with(objective="reward", start="base", samples={"prompts": 2})


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero2", "zero3"])
def test_several_processes_note_what_one_does(tmp_path: Path, strategy: str) -> None:
    asked = {"samples": Samples(prompts=2, tokens=5).model_dump()}
    one = trained(several(tmp_path / "one"), by("ddp", 1, **asked))
    two = trained(several(tmp_path / "two"), by(strategy, 2, **asked))
    assert two["samples.json"] == one["samples.json"]
