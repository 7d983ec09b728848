"""params.yaml: its model, its schema, and changes from the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.params.form import MOST_CHANGED, changed_settings, form
from flows.params.model import SCHEMA, change, check, model, rehearse, schema
from tasks.core.errors import SettingsError
from tests.flows.project import ROOT

TEXT = """\
# What trains.
train:
  # How far each step goes.
  learning_rate: 0.005  # per step
  steps: 300
quantize:
  schemes: [nf4, int8]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


def changed(path: Path, *assignments: str, recipe: Path | None = None) -> list[str]:
    return change(list(assignments), recipe, path=path, verify=lambda aside: None)


def test_the_shipped_params_are_valid_and_complete() -> None:
    check(ROOT / "params.yaml")


def test_the_schema_is_in_step() -> None:
    assert (ROOT / SCHEMA).read_text() == schema(), "run: python -m flows.params"


def test_every_key_is_described() -> None:
    definitions = model().model_json_schema()["$defs"]
    undescribed = [
        f"{section}.{name}"
        for section, model in definitions.items()
        for name, field in model.get("properties", {}).items()
        if "description" not in field and "description" not in definitions.get(field.get("$ref", "").split("/")[-1], {})
    ]
    assert undescribed == []


def test_set_changes_one_value_and_keeps_comments(path: Path) -> None:
    assert changed(path, "train.learning_rate=1e-4") == ["train.learning_rate 0.005 -> 0.0001"]
    assert path.read_text().split() == TEXT.replace("0.005", "1e-4").split()


def opened(section: dict[str, Any]) -> dict[str, Any]:
    """The keys of a section, which the page shows when somebody chooses them."""
    closed, keys = section["anyOf"]
    assert (closed, section["default"]) == ({"type": "null"}, None)
    return dict(keys)


def as_sent_by_a_browser(node: Any) -> Any:
    """What the form of the Prefect UI sends where nobody touches it, with every section open: every default, by a
    language without floats.
    """
    if node.get("anyOf", [None])[0] == {"type": "null"}:  # a section: elsewhere null is the last choice
        node = opened(node)
    if "properties" in node:
        return {name: as_sent_by_a_browser(part) for name, part in node["properties"].items()}
    text = json.dumps(node.get("default"))
    return json.loads(text, parse_float=lambda number: int(float(number)) if float(number) % 1 == 0 else float(number))


def test_of_a_form_that_is_sent_only_what_was_changed_is_written(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    before = path.read_text().replace('"', "").splitlines()
    sent = as_sent_by_a_browser(form(path))
    assert change([], values=changed_settings(sent, path), path=path) == []
    sent["train"]["learning_rate"], sent["train"]["max_grad_norm"] = 0.00025, 2
    assert len(change([], values=changed_settings(sent, path), path=path)) == 2
    after = path.read_text().replace('"', "").splitlines()
    kept = [line.split() for line in before]
    new = [line.split("#")[0].strip() for line in after if line.split() not in kept]
    assert new == ["learning_rate: 0.00025", "max_grad_norm: 2.0"]


def test_the_form_opens_with_a_dozen_keys_and_closed_sections(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    first, *sections = form(path)["properties"].values()
    assert [part["title"] for part in first["properties"].values()] == list(MOST_CHANGED)
    assert len(MOST_CHANGED) == 12
    assert [part["position"] for part in first["properties"].values()] == list(range(12))
    assert first["properties"]["train_learning_rate"]["default"] == 0.005
    assert [part["title"] for part in sections] == list(model().model_fields)
    assert all(opened(section)["properties"] for section in sections)
    assert [first["position"], *(part["position"] for part in sections)] == list(range(len(sections) + 1))


def test_a_key_is_changed_at_either_of_its_places(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    untouched = as_sent_by_a_browser(form(path))

    def sent(often: dict[str, Any], **sections: Any) -> dict[str, Any]:
        closed = dict.fromkeys(model().model_fields)
        return changed_settings({**closed, "often": {**untouched["often"], **often}, **sections}, path)

    assert sent({}) == {}
    assert sent({"train_learning_rate": 0.002, "quantize_schemes": ["int8"]}) == {
        "train": {"learning_rate": 0.002},
        "quantize": {"schemes": ["int8"]},
    }
    opened_section = untouched["train"]
    assert sent({"train_seed": 7}, train=opened_section) == {"train": {"seed": 7}}
    assert sent({}, train={**opened_section, "seed": 7}) == {"train": {"seed": 7}}
    assert sent({"train_seed": 7}, train={**opened_section, "seed": 7, "lora": {"r": 8}}) == {
        "train": {"seed": 7, "lora": {"r": 8}}
    }
    assert sent({"train_epochs": 2, "train_steps": None}) == {"train": {"epochs": 2, "steps": None}}
    with pytest.raises(
        SettingsError, match=r"train\.seed is 8 in its section and 7 under often; change only one of them"
    ):
        sent({"train_seed": 7}, train={**opened_section, "seed": 8})


def test_values_are_yaml_1_2(path: Path) -> None:
    from ruamel.yaml import YAML

    changed(path, "train.learning_rate=1e-4", "train.method=no", "train.lora={r: 8}", "quantize.schemes=[nf4]", "a.b=")
    document = YAML(typ="safe").load(path)
    assert document["train"] == {"learning_rate": 0.0001, "steps": 300, "method": "no", "lora": {"r": 8}}
    assert document["quantize"]["schemes"] == ["nf4"]
    assert document["a"] == {"b": None}


@pytest.mark.parametrize(
    "assignment",
    [
        "judge.teacher={kind: openai, base_url: http://x/v1, model: x}",
        "align.rewards=[{kind: function, name: f.py:x}]",
        "evaluate.hosted={x: {server: {base_url: 'http://127.0.0.1:8000/v1'}}}",
    ],
)
def test_texts_with_a_colon_are_written_as_dvc_reads_them(path: Path, assignment: str) -> None:
    from dvc.utils.serialize import parse_yaml
    from ruamel.yaml import YAML

    for further in (assignment, "train.steps=7"):
        changed(path, further)
        assert parse_yaml(path.read_text(), str(path)) == YAML(typ="rt").load(path)


def test_a_recipe_merges_sections_and_replaces_lists(path: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("train: {steps: 10, learning_rate: 0.005}\nquantize: {schemes: []}\n")
    lines = changed(path, "train.steps=20", recipe=recipe)
    assert lines == ["train.steps 300 -> 20", 'quantize.schemes ["nf4", "int8"] -> []']
    assert "learning_rate: 0.005  # per step" in path.read_text()


def test_a_recipe_that_is_not_there(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.yaml: no such file; name an existing YAML file\."):
        changed(path, recipe=tmp_path / "gone.yaml")


def test_nothing_is_written_where_nothing_changes(path: Path) -> None:
    before = path.stat().st_mtime_ns
    assert changed(path, "train.steps=300") == []
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.steps", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("train.steps.more=3", "'steps' is a value, not a section"),
        ("train.steps=[1", "the value is not valid YAML"),
    ],
)
def test_an_assignment_that_is_none(path: Path, assignment: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        changed(path, assignment)
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.lr=1", "unknown key 'train.lr'; did you mean 'learning_rate'"),
        ("train.learning_rat=1", r"params.yaml \(as it would be\):\d+: unknown key 'train.learning_rat'; did you mean"),
        ("train.learning_rate=-1", r"train.learning_rate = -1: input should be greater than 0"),
        ("quantize.schemes=[nf5]", r"quantize.schemes"),
        ("train.steps=true", r"train.steps = true: a number is expected\."),
        ("quantize.limits={nf4: true}", r"quantize.limits: a number is expected\."),
        ("evaluate.engine=vllm", r"engine = 'vllm': input should be keys with values, such as \{key: value\}\."),
        ("evaluate.engine=null", "evaluate.engine = null: input should be keys with values"),
        ("evaluate.metrics=[{kind: regex, patern: x}]", r"'evaluate.metrics.0.patern'; did you mean 'pattern'\?"),
    ],
)
def test_a_change_with_faults_leaves_the_file_as_it_is(tmp_path: Path, assignment: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    before = path.read_text()
    with pytest.raises(SettingsError, match=message):
        change([assignment], path=path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text() + "trian: {}\n")
    change(["clean.passage=5"], path=path, verify=lambda aside: None)
    change(["train.steps=many"], path=path, verify=lambda aside: None)
    with pytest.raises(SettingsError) as error:
        check(path)
    assert "'trian'; did you mean 'train'?" in str(error.value)
    assert "train.steps = 'many'" in str(error.value)


def test_a_rehearsal_says_what_a_change_would_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (ROOT / "params.yaml").read_bytes()
    Path("params.yaml").write_bytes(before)
    rehearse(["train.learning_rate=1e-3"])
    with pytest.raises(SettingsError, match=r"^params.yaml \(as it would be\):\d+: unknown key 'train.learning_rat'"):
        rehearse(["train.learning_rat=1"])
    assert Path("params.yaml").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]
