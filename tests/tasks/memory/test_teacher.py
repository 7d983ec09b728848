"""A teacher beside the student: its weights in float32, and what the loss makes of both vocabularies."""

from pathlib import Path

import pytest

from tasks.align.settings import Settings as Align
from tasks.core.paths import Paths
from tasks.memory.teacher import Teacher, bytes_held, read_teacher
from tests.tasks import tiny
from tests.tasks.memory.test_card import training


def test_weights_are_in_float32_and_logits_of_the_wider_vocabulary() -> None:
    held = bytes_held("gkd", Teacher(weights=1_000_000, vocabulary=1000), tokens=50, vocabulary=800)
    assert (held.weights, held.logits) == (4_000_000, 14 * 4 * 50 * 1000)
    held = bytes_held("distill", None, tokens=50, vocabulary=800)
    assert (held.weights, held.logits) == (0, 2 * 4 * 50 * 800)
    assert bytes_held("dpo", None, tokens=50, vocabulary=800).logits == 0


def test_a_teacher_is_priced_beside_the_student(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    tiny.model(paths.guides / "teacher", vocabulary=1000)
    weights = sum(value.numel() for value in tiny.loaded(paths.guides / "teacher").parameters())
    settings = Align(objective="gkd", teacher="teacher", batch_size=2)
    teacher = read_teacher(paths, settings)
    assert teacher == Teacher(weights, 1000)
    alone = training("align", settings)
    both = training("align", settings)
    object.__setattr__(both, "teacher", teacher)
    assert both.price().weights - alone.price().weights == 4 * weights
    assert both.price().logits == alone.price().logits
    assert alone.price().logits > training("align", Align(objective="orpo", batch_size=2)).price().logits
    assert "with the teacher" in both.about()
    assert "not counting the teacher, which is missing" in alone.about()


@pytest.mark.parametrize("name", ["none", "../elsewhere"])
def test_a_teacher_that_is_not_there_is_left_out(tmp_path: Path, name: str) -> None:
    assert read_teacher(Paths(tmp_path), Align(objective="gkd", teacher=name)) is None
