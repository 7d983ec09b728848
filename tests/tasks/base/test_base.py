"""The base: a ready model is recorded by its hash and not copied; one that lacks something is refused in a sentence."""

import json
from pathlib import Path

import pytest

from tasks.base import stage as base
from tasks.base.ready import check, has_template, is_model
from tasks.core.errors import InputError, ModelError
from tasks.core.paths import Paths
from tasks.models.record import base_folder, check_hub
from tests.tasks import tiny


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    tokenizer = tiny.tokenizer()
    tokenizer.save_pretrained(tiny.model(tmp_path / "model", vocabulary=len(tokenizer)))
    return Paths(tmp_path)


def test_a_ready_model_is_recorded_and_not_copied(project: Paths) -> None:
    base.run(base.Settings(folder="model"), project)
    record = json.loads((project.base / "base.json").read_text())
    assert (record["kind"], record["location"]) == ("folder", "model")
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= set(record["files"])
    assert {path.name for path in project.base.iterdir()} == {"base.json", "settings.json"}
    assert base_folder(project) == project.root / "model"


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (["config.json"], "has no config.json"),
        (["model.safetensors"], r"weights as \*\.safetensors; it holds none"),
        (["tokenizer.json"], "has no tokenizer"),
    ],
)
def test_a_model_that_lacks_something_is_refused(project: Paths, gone: list[str], message: str) -> None:
    for name in gone:
        (project.root / "model" / name).unlink()
    with pytest.raises(ModelError, match=f"^model: .*{message}"):
        base.run(base.Settings(folder="model"), project)
    assert not project.base.exists()


def test_pickled_weights_are_refused(project: Paths) -> None:
    (project.root / "model/model.safetensors").rename(project.root / "model/pytorch_model.bin")
    with pytest.raises(ModelError, match=r"it holds pytorch_model\.bin; convert it, since pickled"):
        check(project.root / "model", "model")


def test_a_folder_that_is_neither_model_nor_seed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"neither a model .* nor a seed"):
        base.run(base.Settings(folder="folder"), Paths(tmp_path))
    with pytest.raises(InputError, match=r"base\.folder = nowhere: there is no such folder"):
        base.run(base.Settings(folder="nowhere"), Paths(tmp_path))


def test_a_template_is_found_in_its_file_or_in_the_tokenizers_settings(project: Paths) -> None:
    folder = project.root / "model"
    assert is_model(folder)
    assert has_template(folder)
    (folder / "chat_template.jinja").rename(folder / "other")
    assert not has_template(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": tiny.CHATML}))
    assert has_template(folder)
    assert not is_model(project.root)


@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_model_that_cannot_be_reached_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offline: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")  # nobody listens there
    with pytest.raises(ModelError, match=r"base\.hub: some/model@0{40} is not in the local cache and cannot be"):
        check_hub("some/model", "0" * 40)
