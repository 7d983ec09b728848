"""Learning from likelihoods that a server told: the divergence in numbers, the bytes after a kill, what is lacking."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.align import stage
from tasks.align.settings import Settings
from tasks.core.errors import InputError, SettingsError
from tasks.core.paths import Paths
from tests.tasks import support, tiny
from tests.tasks.align.test_align import hashes
from tests.tasks.train.test_train import kill_and_continue

SMALL = Settings(
    objective="distill", start="base", steps=6, batch_size=4, learning_rate=1e-2, warmup_steps=1, threads=1,
    logging_steps=1, checkpoint_steps=2, eval_steps=3, dtype="float32",
)  # fmt: skip

settings_with = partial(tiny.changed, SMALL)

INF = math.inf


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose rows a teacher was asked about; both splits."""
    paths = support.project(tmp_path_factory.mktemp("distilled"))
    support.teachers(paths)
    return paths.root


def test_the_divergence_is_that_over_the_tokens_told_of_and_one_class_for_the_others() -> None:
    from tasks.align.distilled import divergence

    student = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]]).log() + 3.0
    ids = torch.tensor([[0, 2, 0], [3, 1, 0]])
    targets = torch.tensor([[math.log(0.6), math.log(0.3), -INF], [math.log(0.5), math.log(0.25), math.log(0.125)]])
    by_hand = [
        0.6 * math.log(0.6 / 0.5) + 0.3 * math.log(0.3 / 0.125) + 0.1 * math.log(0.1 / 0.375),  # 0.2399
        0.5 * math.log(0.5 / 0.25) + 0.125 * math.log(0.125 / 0.25) * 2,  # 0.1733
    ]
    assert by_hand == pytest.approx([0.239858, 0.173287], abs=1e-6)
    assert divergence(student, ids, targets).tolist() == pytest.approx(by_hand, abs=1e-6)


def test_it_is_trls_where_that_has_the_same_and_the_whole_one_where_all_is_told() -> None:
    from trl.experimental.server_distillation import ServerDistillationTrainer

    from tasks.align.distilled import divergence

    torch.manual_seed(0)
    student, teacher = torch.randn(2, 5, 11, dtype=torch.float32).requires_grad_(), torch.randn(2, 5, 11)
    likeliest = teacher.log_softmax(-1).topk(3)
    bare: Any = ServerDistillationTrainer.__new__(ServerDistillationTrainer)
    bare.loss_add_tail = True
    targets = {"topk_logprobs": likeliest.values, "topk_token_ids": likeliest.indices}
    labels = torch.ones(2, 5, dtype=torch.long)
    theirs = bare._compute_server_forward_kl_loss(targets, student.log_softmax(-1), labels)
    ours = divergence(student.flatten(0, 1), likeliest.indices.flatten(0, 1), likeliest.values.flatten(0, 1))
    assert ours.mean().item() == pytest.approx(theirs.item(), rel=1e-5)
    one, other = (torch.autograd.grad(value, student)[0] for value in (ours.mean(), theirs))
    assert torch.allclose(one, other, atol=1e-7)
    all_ids = torch.arange(11).expand(10, 11)
    whole = divergence(student.flatten(0, 1), all_ids, teacher.log_softmax(-1).flatten(0, 1))
    kl = torch.nn.functional.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), reduction="none", log_target=True)
    assert whole.tolist() == pytest.approx(kl.sum(-1).flatten().tolist(), abs=1e-4)
    assert (ours <= whole + 1e-5).all()


def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    from tasks.align.distilled import divergence

    logits = torch.tensor([[2.0, 0.5, -1.0, 0.0]], requires_grad=True)
    likeliest = logits.detach().log_softmax(-1).topk(2)
    loss = divergence(logits, likeliest.indices, likeliest.values).sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max().item() < 1e-6


def test_what_the_teacher_said_stands_at_the_token_before(project: Paths) -> None:
    """The loss of the teacher itself is 0 on every row: no position is off by one, and padding counts for nothing."""
    from tasks.align.distilled import collate, divergence
    from tasks.align.items import read

    rows = read(project, "train", "distill")
    batch = collate(0)([rows[index] for index in range(len(rows))])
    teacher = tiny.loaded(project.guides / "teacher")
    with torch.no_grad():
        logits = teacher(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    labelled = batch["labels"][:, 1:] != -100
    assert divergence(logits[labelled], batch["top_ids"], batch["top_logprobs"]).abs().max().item() < 1e-4


def test_the_student_comes_nearer_and_ends_in_the_same_bytes_after_a_kill(project: Paths) -> None:
    settings = settings_with(steps=8)
    stage.run(settings, project)
    losses = support.column(project.aligned / "loss.csv", "loss")
    assert sum(losses[-2:]) < sum(losses[:2])
    held_out = support.column(project.aligned / "loss.csv", "eval_loss")
    assert held_out[-1] < held_out[0]
    facts = tiny.read(project.aligned / "training.json")
    audit = tiny.read(project.audit)["splits"]["train"]["trained"]
    assert {name: facts[name] for name in audit} == audit
    taught = facts["taught"]
    assert (taught["teacher"], taught["licence"], taught["top"]) == ("openai:t", "not stated", 20)
    first = hashes(project)
    kill_and_continue(lambda: stage.run(settings, project), 5)
    assert hashes(project) == first


def test_a_batch_in_parts_is_the_batch(project: Paths) -> None:
    once = {"steps": 1, "warmup_steps": 0, "eval_steps": 1, "scheduler": "constant"}
    results = []
    for batch, parts in ((8, 1), (2, 4)):
        stage.run(settings_with(batch_size=batch, gradient_accumulation=parts, **once), project)
        results.append([support.column(project.aligned / "loss.csv", name)[0] for name in ("loss", "eval_loss")])
    assert results[0] == pytest.approx(results[1], rel=1e-3)


def test_labels_count_as_much_as_is_asked(project: Paths) -> None:
    losses = []
    for weight in (0.0, 0.5, 0.9):
        stage.run(settings_with(steps=1, warmup_steps=0, arguments={"label_weight": weight}), project)
        losses.append(support.column(project.aligned / "loss.csv", "loss")[0])
    whole, half, most = losses
    own = 2 * half - whole
    assert most == pytest.approx(0.1 * whole + 0.9 * own, rel=1e-5)
    with pytest.raises(SettingsError, match="label_weight is 1; set it to a share from 0 to below 1"):
        stage.validate(settings_with(arguments={"label_weight": 1.0}), project)


def test_without_what_a_teacher_said_it_says_what_to_do(project: Paths) -> None:
    (project.distilled("validation") / "rows.arrow").unlink()
    stage.run(settings_with(steps=1, warmup_steps=0, eval_steps=1), project)
    assert not support.column(project.aligned / "loss.csv", "eval_loss")
    (project.distilled("train") / "rows.arrow").unlink()
    with pytest.raises(InputError, match=r"it; add train to distill\.splits, and run the stage distill"):
        stage.run(SMALL, project)
