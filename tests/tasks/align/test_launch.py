"""Alignment by several processes does what one does on the same rows a step, as far as it is offered."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.align.run import align
from tasks.align.settings import Settings
from tasks.core.paths import Paths
from tests.tasks import support
from tests.tasks.align.test_align import SMALL, made  # noqa: F401
from tests.tasks.align.test_sampling import SMALL as SAMPLED
from tests.tasks.training.test_strategies import points
from tests.tasks.training.together import KILLED, together

BOTH: dict[str, Any] = {"launch": {"processes": 2}}


def changed(**values: Any) -> Settings:
    return Settings.model_validate({**SMALL.model_dump(), **values})


def aligned(paths: Paths, settings: Settings) -> dict[str, bytes]:
    assert set(together(align, paths, settings)) == {0}, (paths.root / "output-0.txt").read_text()[-3000:]
    return {file.name: file.read_bytes() for file in paths.aligned.iterdir()}


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Paths:  # noqa: F811
    shutil.copytree(made / "data", tmp_path / "data")
    return Paths(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(("strategy", "start"), [("ddp", "train"), ("fsdp2", "train"), ("fsdp2", "base")])
def test_two_processes_learn_from_pairs_as_one_does(project: Paths, strategy: str, start: str) -> None:
    one = points(aligned(project, changed(start=start)))
    launch = {"processes": 2, "strategy": strategy}
    settings = changed(start=start, batch_size=2, launch=launch)
    two = aligned(project, settings)
    for point, other in zip(one, points(two), strict=True):
        assert other == pytest.approx(point, rel=1e-5)  # of a difference of sums of logarithms
    assert together(align, project, settings, dies_at=5)[-1] == KILLED
    assert aligned(project, settings) == two


@pytest.mark.long
def test_two_processes_answer_prompts_to_the_same_bytes_after_a_kill(tmp_path: Path) -> None:
    paths = support.project(tmp_path)
    settings = Settings.model_validate({**SAMPLED.model_dump(), "batch_size": 4, "arguments": {"beta": 0.01}, **BOTH})
    undisturbed = aligned(paths, settings)
    assert b'"effective_batch_answers": 8' in undisturbed["training.json"]
    assert together(align, paths, settings, dies_at=5)[-1] == KILLED
    assert aligned(paths, settings) == undisturbed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "online_dpo", **BOTH}, "online_dpo was not shown to learn right in several processes"),
        ({"objective": "grpo", "launch": {"processes": 2, "strategy": "fsdp2"}}, "grpo works with launch.strategy ddp"),
        ({"objective": "reward", "launch": {"processes": 2, "strategy": "zero3"}}, "reward works with launch.strategy"),
        ({"quantization": "nf4", "launch": {"processes": 2, "strategy": "fsdp2"}}, "does not work on a base in low"),
    ],
)
def test_what_was_not_shown_to_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(**values)
