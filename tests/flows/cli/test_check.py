"""`temper plan` and `temper check` with settings that are tried: what they say is of those, and params.yaml stays."""

import json
import shutil
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
    [
        (
            "train.epochs=2",
            "how long to train; set one of them to null, such as with a second --set SECTION.epochs=null",
        ),
        ("train.stepz=4", "did you mean 'steps'"),
        ("merge.probes=-1", "merge.probes = -1: input should be greater than"),
    ],
)
def test_what_is_wrong_with_them_is_a_sentence(assignment: str, sentence: str, toy: Toy) -> None:
    before = PARAMS.read_bytes()
    for command in ("plan", "check"):
        assert sentence in toy.failed(command, "--set", assignment)
    assert PARAMS.read_bytes() == before


def test_a_plan_names_what_is_missing_and_the_command_that_says_more(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan"]) == 0
    assert "missing" not in capsys.readouterr().err
    shutil.rmtree("code")
    assert main(["plan"]) == 0
    output = capsys.readouterr()
    assert output.err == (
        "code is missing: the stage train reads it, and no stage makes it; add it, or name another.\n"
        "A run would stop there. temper check says what else would.\n"
    )
    assert "would run" in output.out


def test_findings_that_stop_a_run_are_told_from_those_that_do_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flows.plan.preflight.faults", lambda: ["too long", "too short"])
    monkeypatch.setattr("flows.plan.preflight.notes", lambda: ["few rows"])
    assert main(["check"]) == 1
    output = capsys.readouterr()
    assert output.out == "few rows\n"
    assert output.err.splitlines() == [
        "too long", "too short", "Mend the first 2 of these 3 findings; the others stop no run."
    ]  # fmt: skip
    monkeypatch.setattr("flows.plan.preflight.notes", list)
    assert main(["check"]) == 1
    assert "Mend" not in capsys.readouterr().err


@pytest.mark.parametrize("error", [SettingsError("not this way"), KeyboardInterrupt()])
def test_the_file_is_as_it_was_whatever_ends_it(error: BaseException, toy: Toy) -> None:
    before = PARAMS.read_bytes()
    with pytest.raises(type(error)), tried(["merge.probes=9"]):
        assert b"probes: 9" in PARAMS.read_bytes()
        check(PARAMS)
        raise error
    assert PARAMS.read_bytes() == before
