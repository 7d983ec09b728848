"""Names of layers in the settings are looked up in the model that a seed becomes, before it is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.rehearsal import seed
from tasks.stages import names

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the settings of a project in the current folder whose base is trained from the seed in `seed`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed/assistant.yaml").write_text("{}")

    def settings(**sections: dict[str, Any]) -> None:
        values = {name: sections.get(name, {}) for name in names()} | {"base": {"folder": "seed"}}
        Path("params.yaml").write_text(json.dumps(values))

    return settings


def test_layers_that_it_will_not_have(write: Write) -> None:
    write(
        train={"lora": {"target_modules": ["q_proj", "typo_proj"]}},
        align={"objective": "dpo", "start": "base", "method": "freeze", "freeze": {"layers": 99}},
    )
    assert seed.names_parts()
    train, align = map(str, seed.faults())
    assert "train.lora.target_modules: the base has no layer 'typo_proj'" in train
    assert "align.freeze.layers is 99, but the base has only" in align


def test_layers_that_it_will_have(write: Write) -> None:
    write(train={"lora": {"target_modules": ["q_proj", "down_proj"]}, "peft": {"modules_to_save": ["lm_head"]}})
    assert not list(seed.faults())
    write(train={"enabled": False, "lora": {"target_modules": ["typo_proj"]}}, align={"objective": "off"})
    assert not seed.names_parts()


def test_without_names_and_for_other_bases_no_library_is_loaded(write: Write, tmp_path: Path) -> None:
    write()
    assert not seed.names_parts()
    write(train={"lora": {"target_modules": ["typo_proj"]}})
    (tmp_path / "seed/assistant.yaml").unlink()
    assert not seed.names_parts()
