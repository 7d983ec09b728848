"""`temper plan` and `temper check` with settings that are tried: what they say is of those, and params.yaml stays."""

import json
from pathlib import Path

import pytest

from flows.cli.main import main
from flows.params.config import tried
from flows.params.model import check
from tasks.core.errors import SettingsError
from tests.flows.project import BELOW_TRAIN, Toy

PARAMS = Path("params.yaml")


def test_a_plan_is_of_the_settings_that_are_tried(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    before, lock = PARAMS.read_bytes(), toy.lock
    assert main(["plan", "--json", "--set", "train.learning_rate=1e-4"]) == 0
    output = capsys.readouterr()
    steps = json.loads(output.out)
    assert {step["stage"] for step in steps if step["verdict"] == "run"} == BELOW_TRAIN
    assert "params.yaml: train.learning_rate 0.005 -> 0.0001   (tried only; the file stays as it is)" in output.err
    assert (PARAMS.read_bytes(), toy.lock) == (before, lock)


def test_a_recipe_is_tried_over_the_defaults(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, recipe = PARAMS.read_bytes(), tmp_path / "recipe.yaml"
    recipe.write_text("merge: {probes: 9}\n")
    assert main(["plan", "--recipe", str(recipe)]) == 0
    assert "merge.probes 16 -> 9" in capsys.readouterr().out
    assert PARAMS.read_bytes() == before


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [("train.stepz=4", "did you mean 'steps'"), ("merge.probes=-1", "merge.probes = -1: input should be greater than")],
)
def test_what_is_wrong_with_them_is_a_sentence(assignment: str, sentence: str, toy: Toy) -> None:
    before = PARAMS.read_bytes()
    for command in ("plan", "check"):
        assert sentence in toy.failed(command, "--set", assignment)
    assert PARAMS.read_bytes() == before


@pytest.mark.parametrize("error", [SettingsError("not this way"), KeyboardInterrupt()])
def test_the_file_is_as_it_was_whatever_ends_it(error: BaseException, toy: Toy) -> None:
    before = PARAMS.read_bytes()
    with pytest.raises(type(error)), tried(["merge.probes=9"]):
        assert b"probes: 9" in PARAMS.read_bytes()
        check(PARAMS)
        raise error
    assert PARAMS.read_bytes() == before
