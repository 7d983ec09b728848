"""A model that is its own teacher: what it is shown, the loss by hand where it is shown nothing, bytes after a kill."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasks.align import stage
from tasks.align.settings import Settings
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tests.tasks import support, tiny
from tests.tasks.align.test_align import hashes
from tests.tasks.train.test_train import kill_and_continue

SMALL = Settings(
    objective="sdft", start="base", steps=6, batch_size=8, answers=2, learning_rate=1e-2, warmup_steps=1, threads=1,
    logging_steps=1, checkpoint_steps=2, dtype="float32", answer_tokens=6,
)  # fmt: skip

settings_with = partial(tiny.changed, SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.project(tmp_path_factory.mktemp("self")).root


def test_the_reference_is_shown_in_the_last_turn_of_the_user(project: Paths) -> None:
    from tasks.align import prompts
    from tasks.align.dialogues import Demonstrations, demonstrated

    coder = tiny.tokenizer()
    shown = Demonstrations(prompts.read(project, "rows", coder), project, "{prompt} ({privileged_context})")
    item = shown[0]
    asked = coder.decode(item["prompt"])
    command = item["reference"].strip()
    assert coder.decode(item["privileged_context"]) == asked.replace("<|im_end|>", f" ({command})<|im_end|>")
    assert demonstrated("{prompt}: {privileged_context}", "{x}", "{prompt}") == "{x}: {prompt}"


def test_a_row_without_a_turn_of_the_user_is_named(project: Paths) -> None:
    from tasks.align import prompts
    from tasks.align.dialogues import Demonstrations

    read = prompts.read(project, "rows", tiny.tokenizer())
    read.names = ["nobody", *read.names[1:]]
    with pytest.raises(InputError, match=r"row nobody has no user turn before its answer.*remove such rows"):
        Demonstrations(read, project, "{prompt}{privileged_context}")


def test_who_is_shown_nothing_has_nothing_to_learn(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same prompt for both, the divergence is 0: prompts, answers and their tokens stand where they should."""
    from tasks.align.dialogues import Demonstrations

    monkeypatch.setattr(Demonstrations, "__getitem__", _nothing_shown)
    stage.run(settings_with(steps=1, warmup_steps=0, optimizer="sgd", learning_rate=1.0, weight_decay=0.5), project)
    (loss,) = support.column(project.aligned / "loss.csv", "loss")
    assert loss == pytest.approx(0, abs=1e-6)


def _nothing_shown(self: Any, index: int) -> dict[str, Any]:
    from tasks.align.prompts import Prompts

    item = Prompts.__getitem__(self, index)
    return {**item, "privileged_context": item["prompt"]}


@pytest.mark.parametrize(
    "arguments", [{"teacher_model_kind": "base"}, pytest.param({"num_iterations": 2}, marks=pytest.mark.long)], ids=str
)
def test_the_student_comes_nearer_and_ends_in_the_same_bytes_after_a_kill(
    project: Paths, arguments: dict[str, Any]
) -> None:
    settings = settings_with(steps=8, batch_size=16, arguments=arguments)
    stage.run(settings, project)
    losses = support.column(project.aligned / "loss.csv", "loss")
    assert sum(losses[-3:]) < sum(losses[:3])
    first = hashes(project)
    kill_and_continue(lambda: stage.run(settings, project), 5)
    assert hashes(project) == first


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arguments": {"teacher_model_kind": "ema"}}, "a checkpoint does not hold"),
        ({"arguments": {"teacher_model_kind": "base"}, "method": "full"}, "the model without its adapter"),
        ({"arguments": {"teacher_model_kind": "base"}, "start": "train"}, "the model without its adapter"),
        ({"arguments": {"distillation_is_clip": 1.0}}, "each answer is used for a single step"),
        ({"arguments": {"distillation_topk": 5, "distillation_mode": "full_logits"}}, "distillation_mode: topk_logits"),
        ({"arguments": {"max_prompt_length": 5}}, r"template\.max_length limits the"),
        ({"batch_size": 9}, "which must be a multiple of answers"),
        ({"prompts": "pairs"}, "set prompts to rows"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_with(**values)
