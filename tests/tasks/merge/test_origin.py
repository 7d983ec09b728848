"""An adapter that temper did not train is merged into the base it names, or into one that you say is the same."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.core.errors import ModelError
from tasks.core.paths import Paths
from tasks.merge.combine import Combine
from tasks.merge.settings import Settings
from tasks.merge.stage import run, validate
from tests.tasks import tiny


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return tiny.project(tmp_path)


def name_base(folder: Path, name: str | None, **record: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**tiny.read(file), "base_model_name_or_path": name}))
    if record:
        (folder / "training.json").write_text(json.dumps(record))


@pytest.mark.parametrize("name", ["another/model", "/nowhere/model", "model-2", "", None])
def test_an_adapter_of_another_base_is_refused_until_you_say_it_is_the_same(project: Paths, name: str | None) -> None:
    name_base(project.trained, name)
    with pytest.raises(ModelError, match=r"the base is model, and no training\.json .* If .* merge\.base_names"):
        run(Settings(), project)
    assert not project.merged.exists()
    with pytest.raises(ModelError, match=r"merge\.base_names"):
        run(Settings(base_names=("the/wrong-one",)), project)
    run(Settings(base_names=(name or "unnamed",)), project)
    assert project.merged.exists()


def test_a_record_without_a_base_says_nothing(project: Paths) -> None:
    name_base(project.trained, "another/model", method="lora")
    with pytest.raises(ModelError, match="was trained on another/model"):
        run(Settings(), project)
    name_base(project.trained, "another/model", base=tiny.read(project.base / "base.json")["sha256"])
    run(Settings(), project)


def test_a_folder_with_the_same_files_is_the_base_and_one_with_others_is_not(project: Paths) -> None:
    copied = project.root / "copied"
    shutil.copytree(project.base / "model", copied)
    name_base(project.trained, str(copied))
    run(Settings(), project)
    shutil.rmtree(project.merged)
    tiny.model(project.root / "other", vocabulary=len(tiny.tokenizer()), initializer_range=0.4)
    name_base(project.trained, str(project.root / "other"))
    with pytest.raises(ModelError, match=r"the adapter was trained on .*other"):
        run(Settings(), project)


def test_other_adapters_are_looked_at_before_anything_runs(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project.trained, project.adapters / "foreign")
    name_base(project.adapters / "foreign", "another/model")
    with (project.root / "params.yaml").open("w") as file:
        YAML().dump({"base": {"folder": str(project.base / "model")}}, file)
    monkeypatch.chdir(project.root)
    combine = Combine(weights={"trained": 1.0, "foreign": 0.5})
    for act in (validate, run):
        with pytest.raises(ModelError, match="foreign: the adapter was trained on another/model"):
            act(Settings(combine=combine), project)
    validate(Settings(combine=combine, base_names=("another/model",)), project)
