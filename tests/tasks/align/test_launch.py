"""Alignment by several processes does what one does on the same rows a step, as far as it is offered."""

import shutil
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tasks.align.run import align
from tasks.align.settings import Settings
from tasks.core.paths import Paths
from tests.tasks import support
from tests.tasks.align.test_align import SMALL, made  # noqa: F401
from tests.tasks.align.test_sampling import SMALL as SAMPLED
from tests.tasks.training.test_strategies import STRATEGIES, points, skip_without_deepspeed
from tests.tasks.training.together import KILLED, together

BOTH: dict[str, Any] = {"launch": {"processes": 2}}


def changed(**values: Any) -> Settings:
    return Settings.model_validate({**SMALL.model_dump(), **values})


def aligned(paths: Paths, settings: Settings) -> dict[str, bytes]:
    assert set(together(align, paths, settings)) == {0}, (paths.root / "output-0.txt").read_text()[-3000:]
    files = (file for file in paths.aligned.rglob("*") if file.is_file())
    return {str(file.relative_to(paths.aligned)): file.read_bytes() for file in files}


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Paths:  # noqa: F811
    shutil.copytree(made / "data", tmp_path / "data")
    return Paths(tmp_path)


@pytest.fixture(scope="module")
def alone(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict[str, float]]]:  # noqa: F811
    """The points of one process for all rows of a step."""

    @cache
    def learned(objective: str, start: str, method: str) -> list[dict[str, float]]:
        root = tmp_path_factory.mktemp("alone")
        shutil.copytree(made / "data", root / "data")
        passes = 2 if objective in TOKEN_MEANS else 1
        values = {**how(objective, start, method), "gradient_accumulation": passes}
        return points(aligned(Paths(root), changed(**values, batch_size=4 // passes)))

    return learned


def how(objective: str, start: str, method: str) -> dict[str, Any]:
    """Settings; a reward model learns slowly, lest its gradient vanish, of which only noise would be left."""
    slow = {"learning_rate": 1e-3} if objective == "reward" else {}
    return {"objective": objective, "start": start, "method": method, **slow}


TOKEN_MEANS = ("orpo", "cpo")
"""Objectives with a mean over the tokens of a batch, which is that of each process: as with a pass for each."""

LEARNED = [
    *(("dpo", strategy, "train", "lora") for strategy in STRATEGIES),
    ("dpo", "fsdp2", "base", "lora"),
    ("dpo", "ddp", "base", "full"),
    *(("kto", strategy, "train", "lora") for strategy in STRATEGIES),
    ("kto", "ddp", "base", "full"),
    *product(("orpo", "cpo", "simpo"), STRATEGIES, ("base",), ("full",)),
    ("orpo", "zero3", "train", "lora"),
    ("cpo", "fsdp2", "train", "lora"),
    ("reward", "ddp", "base", "full"),
    ("reward", "ddp", "train", "lora"),
]
"""Objective, strategy, start and method."""


@pytest.mark.long
@pytest.mark.parametrize(("objective", "strategy", "start", "method"), LEARNED)
def test_two_processes_learn_from_pairs_as_one_does(
    project: Paths, alone: Any, objective: str, strategy: str, start: str, method: str
) -> None:
    skip_without_deepspeed(strategy)
    launch = {"processes": 2, "strategy": strategy}
    settings = changed(**how(objective, start, method), batch_size=2, launch=launch)
    two = aligned(project, settings)
    for point, other in zip(alone(objective, start, method), points(two), strict=True):
        shared = {name: other[name] for name in point}  # KTO has a margin where good and bad rows go side by side
        assert shared == pytest.approx(point, rel=1e-5, abs=1e-6)  # of a difference of sums of logarithms
    if (objective, start, method) == ("dpo", "train", "lora"):
        assert together(align, project, settings, dies_at=5)[-1] == KILLED
        assert aligned(project, settings) == two


@pytest.mark.long
@pytest.mark.parametrize("objective", ["grpo", "rloo"])
def test_two_processes_answer_prompts_to_the_same_bytes_after_a_kill(tmp_path: Path, objective: str) -> None:
    paths = support.project(tmp_path)
    values = {"objective": objective, "batch_size": 4, "arguments": {"beta": 0.01}, **BOTH}
    settings = Settings.model_validate({**SAMPLED.model_dump(), **values})
    undisturbed = aligned(paths, settings)
    assert b'"effective_batch_answers": 8' in undisturbed["training.json"]
    assert together(align, paths, settings, dies_at=5)[-1] == KILLED
    assert aligned(paths, settings) == undisturbed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "online_dpo", **BOTH}, "online_dpo is untested with several processes"),
        (
            {"objective": "grpo", "launch": {"processes": 2, "strategy": "fsdp2"}},
            "grpo works only with launch.strategy ddp",
        ),
        (
            {"objective": "reward", "launch": {"processes": 2, "strategy": "zero3"}},
            "reward works only with launch.strategy",
        ),
        (
            {"quantization": "nf4", "launch": {"processes": 2, "strategy": "fsdp2"}},
            "does not work on a quantised base: weights packed by",
        ),
    ],
)
def test_what_was_not_shown_to_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(**values)
