"""What a project sets, and the ways back: to the defaults, and to what stood there before."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.cli.main import main
from flows.params.config import differences, reset_file
from flows.params.defaults import defaults
from flows.params.diff import parameters
from flows.params.model import change, check, model
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.core.settings import read
from tests.flows.project import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
TASKS = sorted((ROOT / "recipes/tasks").glob("*.yaml"))


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's params.yaml, alone."""
    monkeypatch.chdir(tmp_path)
    Path(".dvc").mkdir()
    return Path(shutil.copy(ROOT / "params.yaml", "params.yaml"))


def test_the_shipped_file_leaves_the_defaults_and_says_nothing_of_the_example(params: Path) -> None:
    assert differences(params) == []
    assert "docker" not in params.read_text().lower()


@pytest.fixture(scope="module")
def changed_often(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A params.yaml in which settings were changed, and then every recipe was used."""
    folder = tmp_path_factory.mktemp("changed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path(".dvc").mkdir()
        path = Path(shutil.copy(ROOT / "params.yaml", folder))
        change(["train.method=full", "train.lora.r=3", "clean.columns.labels=[a, b]", "report.title=Mine"], path=path)
        for recipe in RECIPES:
            change([], recipe, path=path)
    return path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_gives_the_same_settings_whatever_was_set_before(
    params: Path, changed_often: Path, recipe: Path
) -> None:
    change([], recipe, path=params)
    fresh = differences(params)
    shutil.copy(changed_often, params)
    change([], recipe, path=params)
    assert sorted(differences(params)) == sorted(fresh)
    check(params)
    lost = [line for line in parameters(read(ROOT / "params.yaml"), read(params)) if line.endswith("(not set)")]
    assert not lost, "dvc.yaml names keys of params.yaml, which then have to be there"


def named_by_stages(part: Any) -> set[str]:
    """The keys that `params` names anywhere in dvc.yaml, all but those with a variable in them."""
    if isinstance(part, list):
        return {name for item in part for name in named_by_stages(item)}
    if not isinstance(part, dict):
        return set()
    own = {name for name in part.get("params", []) if isinstance(name, str) and "$" not in name}
    return own | {name for value in part.values() for name in named_by_stages(value)}


def has(document: Any, name: str) -> bool:
    """Whether `document` has the key with the dotted `name`, whatever its value."""
    for key in name.split("."):
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True


def assert_every_stage_can_run(path: Path) -> None:
    """DVC refuses to run a stage that depends on a key that the file does not have."""
    names = named_by_stages(YAML(typ="safe").load((ROOT / "dvc.yaml").read_text()))
    assert "evaluate.engine" in names and "train" in names
    document = YAML(typ="safe").load(path.read_text())
    assert not [name for name in sorted(names) if not has(document, name)]


@pytest.mark.parametrize("recipe", RECIPES + TASKS, ids=lambda path: path.stem)
def test_a_recipe_leaves_every_key_that_a_stage_depends_on(params: Path, recipe: Path) -> None:
    change([], recipe, path=params)
    assert_every_stage_can_run(params)


def test_reset_leaves_every_key_that_a_stage_depends_on(params: Path) -> None:
    change(["evaluate.engine={kind: vllm, memory: 0.5}"], path=params)
    assert differences(params) == ["evaluate.engine.kind transformers -> vllm", "evaluate.engine.memory 0.9 -> 0.5"]
    reset_file((), params)
    assert_every_stage_can_run(params)
    check(params)
    assert differences(params) == []


def test_reset_puts_keys_back_and_keeps_comments(params: Path) -> None:
    change(["train.lora.r=3", "train.steps=7", "align.objective=dpo"], path=params)
    lines = reset_file(("train.lora", "align.objective"), params)
    assert lines == ["train.lora.r 3 -> 16", "align.objective dpo -> off"]
    assert "train.steps 240 -> 7" in differences(params)
    reset_file((), params)
    assert differences(params) == []
    assert "# peak" in params.read_text()


def test_a_section_that_loses_its_keys_keeps_its_comment(params: Path) -> None:
    text = params.read_text().replace("\n  lora:", "\n  arguments:                   # of trl\n    seed: 3\n  lora:", 1)
    params.write_text(text)
    assert reset_file(("train.arguments",), params) == ["train.arguments.seed 3 -> (not set)"]
    (line,) = [line for line in params.read_text().splitlines() if line.startswith("  arguments:")][:1]
    assert line.split() == ["arguments:", "{}", "#", "of", "trl"]


def test_a_metric_that_leaves_out_what_it_does_not_set_is_the_default_all_the_same(params: Path) -> None:
    change(["evaluate.metrics=[{kind: exact_match}]"], path=params)
    assert not any("metrics" in line for line in reset_file((), params))
    assert YAML(typ="safe").load(params.read_text())["evaluate"]["metrics"] == [{"kind": "exact_match"}]
    change(["evaluate.metrics=[{kind: exact_match, of: reasoning}]"], path=params)
    assert any("evaluate.metrics" in line for line in reset_file((), params))


def test_undo_goes_further_back_each_time_and_redo_forth(params: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action, sentence in (("undo", "no change to params.yaml here that is left"), ("redo", "nothing was undone")):
        assert main(["config", action]) == 1
        assert sentence in capsys.readouterr().err
    change(["train.steps=7", "align.objective=dpo"], path=params)
    texts = [params.read_text()]
    for section in ("train", "align"):
        assert main(["config", "reset", section]) == 0
        texts.append(params.read_text())
    capsys.readouterr()
    assert main(["config", "undo"]) == 0 and params.read_text() == texts[1]
    assert capsys.readouterr().out == "align.objective off -> dpo\n"
    assert main(["config", "undo"]) == 0 and params.read_text() == texts[0]
    assert capsys.readouterr().out == "train.steps 240 -> 7\n"
    assert main(["config", "undo"]) == 1
    for text in texts[1:]:
        assert main(["config", "redo"]) == 0 and params.read_text() == text
    assert main(["config", "redo"]) == 1
    by_hand = texts[2].replace("steps: 240", "steps: 9", 1)
    params.write_text(by_hand)
    assert main(["config", "undo"]) == 0 and params.read_text() == texts[1]
    assert main(["config", "redo"]) == 0 and params.read_text() == by_hand, "edits by hand are not lost"
    assert main(["config", "undo"]) == 0
    assert main(["config", "reset", "align"]) == 0
    assert main(["config", "redo"]) == 1, "another change came between"
    PATHS.params_history.write_text("{")
    assert main(["config", "undo"]) == 1


def test_what_is_reset_must_be_a_key(params: Path) -> None:
    for key in ("train.stepps", "nothing", "nothing.more"):
        with pytest.raises(SettingsError, match=f"{key}: there is no such key"):
            reset_file((key,), params)


def test_a_key_that_its_default_does_not_have_is_taken_out(params: Path) -> None:
    change(
        ["quantize.limits={nf4: 2, int8: 1}", "judge.teacher={kind: openai, base_url: 'http://x', model: m}"],
        path=params,
    )
    assert reset_file(("quantize.limits.nf4",), params) == ["quantize.limits.nf4 2.0 -> (not set)"]
    assert read(params)["quantize"]["limits"] == {"int8": 1}
    with pytest.raises(
        SettingsError, match=r"judge\.teacher\.modl: it is not set here, and judge\.teacher is null by def"
    ):
        reset_file(("judge.teacher.modl",), params)
    with pytest.raises(
        SettingsError, match=r"train\.steps\.more: it is not set here, and train\.steps is 240 by default"
    ):
        reset_file(("train.steps.more",), params)
    change(["train.epochs=3", "train.steps=null"], path=params)
    with pytest.raises(
        SettingsError, match=r"set one of them\. What depends on it can be reset as well: temper config reset train$"
    ):
        reset_file(("train.epochs",), params)
    assert reset_file(("train.epochs", "train.steps"), params) == [
        "train.steps null -> 240",
        "train.epochs 3.0 -> null",
    ]
    assert reset_file(("train.epochs",), params) == []


def test_defaults_are_every_key(params: Path) -> None:
    schema = YAML(typ="safe").load(params.read_text())
    assert schema.keys() <= defaults(model()).keys()
