"""Answers that the model gives in training: from the templated ids, worth what is asked for, to the same bytes."""

import json
import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasks.align import stage
from tasks.align.settings import Settings
from tasks.core.errors import CheckFailed, InputError, SettingsError
from tasks.core.paths import Paths
from tests.tasks import support, tiny
from tests.tasks.align.test_align import hashes
from tests.tasks.train.test_train import kill_and_continue

SMALL = Settings.model_validate(
    {
        "objective": "grpo", "start": "train", "steps": 6, "batch_size": 8, "answers": 8, "answer_tokens": 6,
        "learning_rate": 1e-2, "warmup_steps": 1, "threads": 1, "logging_steps": 1, "checkpoint_steps": 2,
        "dtype": "float32", "rewards": [{"kind": "function", "name": "taste.py:taste"}],
    }
)  # fmt: skip

settings_with = partial(tiny.changed, SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.project(tmp_path_factory.mktemp("sampling")).root


def test_grpo_is_rewarded_more_and_ends_in_the_same_bytes_after_a_kill(project: Paths) -> None:
    settings = settings_with(steps=12, batch_size=32, learning_rate=3e-2, arguments={"beta": 0.01})
    stage.run(settings, project)
    rewards = support.column(project.aligned / "loss.csv", "reward")
    assert sum(rewards[-3:]) > 1.3 * sum(rewards[:3])
    facts = tiny.read(project.aligned / "training.json")
    assert facts["objective"] == "grpo"
    assert facts["effective_batch_answers"] == 32
    assert facts["rows_without_prompt"] == 0
    first = hashes(project)
    kill_and_continue(lambda: stage.run(settings, project), 7)
    assert hashes(project) == first


@pytest.mark.parametrize("objective", ["rloo", "online_dpo"])
def test_a_reward_model_takes_the_place_of_ppo(project: Paths, objective: str) -> None:
    values: dict[str, Any] = {"steps": 12, "learning_rate": 3e-2, "answer_tokens": 3, "prompts": "pairs"}
    if objective == "rloo":
        values["arguments"] = {"normalize_advantages": True, "beta": 0.01}
    rewards = [{"kind": "model", "name": "liked"}]
    stage.run(settings_with(objective=objective, rewards=rewards, batch_size=32, **values), project)
    mean_rewards = support.column(project.aligned / "loss.csv", "reward")
    assert sum(mean_rewards[-4:]) > sum(mean_rewards[:4])


def test_gkd_comes_nearer_to_its_teacher(project: Paths) -> None:
    values = {"batch_size": 16, "steps": 10, "learning_rate": 5e-3, "arguments": {"lmbda": 1.0}}
    stage.run(settings_with(objective="gkd", teacher="teacher", start="base", **values), project)
    losses = support.column(project.aligned / "loss.csv", "loss")
    assert sum(losses[-3:]) < sum(losses[:3])


def test_a_whole_model_is_compared_with_itself(project: Paths) -> None:
    shutil.rmtree(project.fitted)
    tiny.model(project.fitted, vocabulary=len(tiny.tokenizer()), initializer_range=0.21)
    (project.fitted / "training.json").write_text(json.dumps({"method": "full"}))
    stage.run(settings_with(steps=2, learning_rate=1e-3, arguments={"beta": 0.05}), project)
    config = (project.aligned / "config.json").read_text()
    assert "reference" not in config
    assert str(project.root) not in config


def test_answers_that_are_all_worth_the_same_teach_nothing(project: Paths) -> None:
    with pytest.raises(CheckFailed, match="the answers to each prompt got the same"):
        stage.run(settings_with(rewards=[{"kind": "pattern", "pattern": "no such thing"}], steps=2), project)
    assert not project.aligned.exists()


def test_prompts_are_rows_up_to_their_last_answer(project: Paths) -> None:
    from tasks.align import prompts
    from tasks.training.rows import load

    tokenizer = tiny.tokenizer()
    read_prompts = prompts.read(project, "rows", tokenizer)
    rows = load(project.templated / "train.arrow")
    assert len(read_prompts) == len(rows)
    for index in (0, len(rows) - 1):
        item, row = read_prompts[index], rows[index]
        ids = item["prompt"] + item["reference_ids"]
        assert ids == row["input_ids"][: len(ids)]
        assert [label for label in row["labels"] if label != -100] == item["reference_ids"]
        assert tokenizer.decode(item["prompt"]).endswith("<|im_start|>assistant\n")
        assert item["reference"].startswith("docker")
    assert prompts.read(project, "pairs", tokenizer)[0]["reference"].startswith("docker")


def test_what_fills_up_an_answer_is_no_part_of_it() -> None:
    from tasks.align.reward_model import strip_padding

    class Coder:
        pad_token_id, eos_token_id = 0, 2

    coder: Any = Coder()
    assert strip_padding([5, 2, 0, 0], coder) == [5, 2]
    assert strip_padding([5, 6], coder) == [5, 6]
    coder.pad_token_id = 2
    assert strip_padding([5, 2, 2], coder) == [5, 2]
    assert strip_padding([5, 6], coder) == [5, 6]


def test_what_answers_are_worth(project: Paths) -> None:
    from tasks.align.rewards import reward_functions

    rewards = [
        {"kind": "exact_match"},
        {"kind": "pattern", "pattern": "^docker"},
        {"kind": "function", "name": "math:hypot"},
    ]
    exact, pattern, function = reward_functions(settings_with(rewards=rewards), project, tiny.tokenizer())
    answers = {"completions": [" docker ps", "ls"], "reference": ["docker ps\n", "docker ps"], "id": ["one", "two"]}
    assert exact(**answers) == [1.0, 0.0]
    assert pattern(**answers) == [0.0, 0.0]
    assert pattern(completions=["docker ps"]) == [1.0]
    with pytest.raises(
        InputError, match=r"align\.rewards\.2: math:hypot fails for the row one with the answer ' docker ps': Ty"
    ):
        function(prompts=[[5], [6]], **answers)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return True", None),
        ("import numpy; return numpy.float32(1)", None),
        ("import torch; return torch.tensor([1.0])", None),
        ("return [1.0, 1.0]", r"returns \[1\.0, 1\.0\] for the row one with the answer 'ls'; return a finite number"),
        ("import torch; return torch.ones(2)", "returns tensor"),
        ("return '1'", "returns '1' for"),
        ("return None", "returns None for"),
        ("return 10 ** 400", "returns 10"),
        ("return float('nan')", "returns nan for"),
        ("yield 1.0", "returns <generator"),
        ("raise KeyError(3)", "fails for the row one with the answer 'ls': KeyError: 3"),
        ("raise SystemExit(3)", "with the answer 'ls': SystemExit: 3"),
        (
            "while True: pass",
            r"takes more than 0\.1 seconds for the row one with the answer 'ls'; make it faster, or raise",
        ),
        (
            "import time; time.sleep(30)",
            r"align\.rewards\.0: mine\.py:worth takes more than 0\.1 seconds for the row one",
        ),
        ("import time\n    try: time.sleep(30)\n    except BaseException: return 1.0", r"takes more than 0\.1 seconds"),
    ],
)
def test_a_reward_is_one_finite_number(tmp_path: Path, body: str, message: str | None) -> None:
    from tasks.align.rewards import reward_functions

    paths = Paths(tmp_path)
    paths.guides.mkdir(parents=True)
    (paths.guides / "mine.py").write_text(f"def worth(prompt, answer, reference):\n    {body}\n")
    limit = {"seconds": 0.1} if message and "0\\.1" in message else {}  # libraries take longer to be imported
    chosen = settings_with(rewards=[{"kind": "function", "name": "mine.py:worth", **limit}])
    (function,) = reward_functions(chosen, paths, tiny.tokenizer())
    if message is None:
        assert function(prompts=[[5]], completions=["ls"], reference=["ls"], id=["one"]) == [1.0]
        return
    with pytest.raises(InputError, match=message):
        function(prompts=[[5]], completions=["ls"], reference=["ls"], id=["one"])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"rewards": [{"kind": "function", "name": "none.py:f"}]}, InputError, r"none\.py: align\.rewards\.0\.name"),
        (
            {"rewards": [{"kind": "model", "name": "none"}]},
            InputError,
            r"no such folder, but align\.rewards\.0\.name names this model",
        ),
        ({"objective": "gkd", "teacher": "none"}, InputError, r"no such folder, but align\.teacher names this model"),
        ({"arguments": {"num_iterations": 3}}, SettingsError, r"make align\.checkpoint_steps a multiple of 3"),
    ],
)
def test_what_does_not_fit_is_told_as_a_sentence(
    project: Paths, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        stage.run(settings_with(**values), project)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "bco"}, r"trl 1\.16 no longer has BCO; use dpo with arguments"),
        ({"objective": "gkd"}, "needs the key teacher"),
        ({"rewards": []}, "needs rewards"),
        ({"rewards": [{"kind": "exact_match", "weight": 0}]}, "every reward has the weight 0"),
        ({"arguments": {"beta": math.nan}}, "beta is nan, but must be a finite number"),
        ({"rewards": [{"kind": "pattern"}]}, "needs the key pattern"),
        ({"rewards": [{"kind": "pattern", "pattern": "("}]}, "not a regular expression"),
        ({"rewards": [{"kind": "exact_match", "name": "x"}]}, "name has no effect"),
        ({"rewards": [{"kind": "function", "name": "x"}]}, "file.py:function"),
        ({"rewards": [{"kind": "exact_match", "seconds": 5}]}, "the key seconds is for the reward function"),
        ({"rewards": [{"kind": "function", "name": "x.py:f", "seconds": 1e-9}]}, r"greater than or equal to 0\.01"),
        ({"answers": 3}, "which must be a multiple of answers"),
        ({"objective": "online_dpo", "gradient_accumulation": 2}, "sums accumulated gradients instead of averaging"),
        ({"arguments": {"num_generations": 2}}, "set by the key answers"),
        ({"arguments": {"use_vllm": True}}, "use align's key generation"),
        ({"arguments": {"loss_type": "sigmoid"}}, "grpo has no loss sigmoid"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_with(**values)


def test_a_reward_model_of_other_tokens_is_refused(project: Paths) -> None:
    from tasks.align.rewards import reward_functions

    coder = tiny.tokenizer()
    coder.add_tokens(["<|more|>"])
    model = project.guides / "teacher"
    coder.save_pretrained(model)
    with pytest.raises(InputError, match="the tokens of this model are not those of the base"):
        reward_functions(settings_with(rewards=[{"kind": "model", "name": "teacher"}]), project, tiny.tokenizer())


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({"batch_size": 32}, 6),  # 24 prompts; a step answers four, eight times each
        ({"batch_size": 32, "gradient_accumulation": 2}, 3),
        ({"batch_size": 64, "arguments": {"num_iterations": 2}, "checkpoint_steps": 98}, 6),
        ({"objective": "online_dpo", "batch_size": 5, "answer_tokens": 3}, 5),
    ],
)
def test_epochs_are_rounds_of_all_prompts(project: Paths, values: dict[str, Any], steps: int) -> None:
    stage.run(settings_with(steps=None, epochs=1, prompts="pairs", **{"checkpoint_steps": 99, **values}), project)
    facts = tiny.read(project.aligned / "training.json")
    assert (facts["steps"], facts["epochs"]) == (steps, 1)


@pytest.mark.parametrize("objective", ["grpo", "online_dpo"])
def test_the_curve_has_what_each_reward_gave_and_their_sum(project: Paths, objective: str) -> None:
    rewards = [{"kind": "function", "name": "taste.py:taste"}, {"kind": "pattern", "pattern": "o", "weight": 0.5}]
    values: dict[str, Any] = {"steps": 2, "answer_tokens": 3, "arguments": {"beta": 0.05}, "rewards": rewards}
    stage.run(settings_with(objective=objective, **values), project)
    taste, pattern, reward = (
        support.column(project.aligned / "loss.csv", name)
        for name in ("reward_0_function", "reward_1_pattern", "reward")
    )
    assert any(taste)
    assert any(pattern)
    assert reward == pytest.approx([first + 0.5 * second for first, second in zip(taste, pattern, strict=True)])
    names = (project.aligned / "loss.csv").read_text().splitlines()[0].split(",")
    unit = "_of_answer" if objective == "online_dpo" else ""
    assert {f"kl{unit}", f"entropy{unit}"} <= set(names)
