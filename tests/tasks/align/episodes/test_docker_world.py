"""The simulated Docker of the recipe: by what a goal is reached, and what looks like it and is not."""

import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.named.functions import load_module
from tests.flows.project import ROOT


@pytest.fixture(scope="module")
def docker() -> Any:
    return load_module(Path(ROOT / "data/guides/docker_world.py"))


def play(docker: Any, reference: str, *answers: str) -> tuple[bool, float]:
    random.seed(1)
    world = docker.Docker()
    world.reset(reference)
    over = [world.step(answer)[1] for answer in answers]
    assert not any(over[:-1]), "an episode that is over does not go on"
    return over[-1], world.get_reward()


def test_every_command_of_the_seed_reaches_its_own_goal(docker: Any) -> None:
    """With names put in; a container that runs is removed in two steps, at the latest."""
    intents = yaml.safe_load((ROOT / "data/seed/intents.yaml").read_text())
    assert len(intents) > 30
    for intent in intents.values():
        reference = re.sub(r"\{(?:(\w+):)?(\w+)\}", r"\1\2", intent["command"])
        answers = [reference] if play(docker, reference, reference)[0] else [f"docker stop {reference[10:]}", reference]
        assert play(docker, reference, *answers)[0], reference
        assert not play(docker, reference, f"{reference} more")[0], f"{reference}: more than was asked"


@pytest.mark.parametrize(
    ("reference", "answers", "worth"),
    [
        ("docker stop web", ("docker stop web",), 1.0),
        ("docker stop web", ("docker kill web",), 1.0),
        ("docker rm -f web", ("docker stop web", "docker rm web"), 0.9),
        ("docker stop web", ("docker stop web other1",), 0.375),
        ("docker stop web", ("docker stop web web2",), 0.375),
        ("docker stop web", ("docker stop -x web",), 0.375),
        ("docker rename a b", ("docker rename a b c",), 0.4),
        ("docker pull redis", ("docker pull redis nginx",), 0.375),
        ("docker run redis", ("docker run redis web",), 0.375),
        ("docker logs --tail 5 web", ("docker logs --tail 6 web",), 0.5 * 4 / 6),
    ],
)
def test_what_a_goal_is_worth(docker: Any, reference: str, answers: tuple[str, ...], worth: float) -> None:
    """Worked by hand: 1 less a tenth for each further turn, else half the share of words in common."""
    reached, value = play(docker, reference, *answers)
    assert value == pytest.approx(worth)
    assert reached == (worth >= 0.9)
