"""Names of parts of the model in the settings: each that the model lacks is refused, before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.align import stage as align
from tasks.core.errors import SettingsError
from tasks.core.paths import Paths
from tasks.models.loading import load_model
from tasks.train import stage
from tasks.train.settings import Settings
from tasks.training.adapters import attach
from tests.tasks import tiny

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"lora": {"target_modules": ["q_proj", "v_porj"]}}, r"lora\.target_modules: .* no layer 'v_porj'.*'v_proj'"),
    ({"lora": {"target_modules": ["layers.0.self_attn.q_prj"]}}, r"did you mean '.*layers\.0\.self_attn\.q_proj'"),
    ({"lora": {"target_modules": r".*\.qq_proj"}}, "lora.target_modules"),
    ({"peft": {"modules_to_save": ["embed_tokens", "lm_haed"]}}, r"modules_to_save: .*'lm_haed'.*'lm_head'"),
    ({"peft": {"rank_pattern": {"q_proj": 4, "k_porj": 2}}}, r"rank_pattern: .*'k_porj'.*did you mean 'k_proj'"),
    ({"peft": {"rank_pattern": {"q_proj": 4}}, "lora": {"target_modules": ["v_proj"]}}, r"rank_pattern: .*'q_proj'"),
    ({"peft": {"alpha_pattern": {"^model.layers.7.q_proj": 4}}}, "alpha_pattern"),
    ({"peft": {"alpha_pattern": {"lm_head": 4}}}, "alpha_pattern"),
    ({"peft": {"exclude_modules": ["down_prjo"]}}, r"exclude_modules: .*did you mean 'down_proj'"),
    ({"peft": {"layers_to_transform": [0, 2]}, "lora": {"target_modules": ["q_proj"]}}, r"adapter, 2; known: 0 to 1"),
    ({"peft": {"layers_to_transform": 9}, "lora": {"target_modules": ["q_proj"]}}, r"adapter, 9"),
    (
        {"peft": {"layers_to_transform": [0], "layers_pattern": "layrs"}, "lora": {"target_modules": ["q_proj"]}},
        r"layers_pattern: .* no list of blocks 'layrs'; did you mean 'layers'",
    ),
    ({"peft": {"target_parameters": ["q_proj.wieght"]}}, r"target_parameters: .* no weight 'q_proj.wieght'"),
    ({"peft": {"trainable_token_indices": [1, 99999]}}, r"no token 99999; known: 0 to"),
    ({"peft": {"trainable_token_indices": {"embed_tokenz": [1]}}}, r"no layer 'embed_tokenz'"),
    ({"method": "trainable_tokens", "peft": {"token_indices": [99999]}}, r"peft\.token_indices: .* no token 99999"),
    ({"method": "ia3", "peft": {"target_modules": ["k_proj", "x_proj"], "feedforward_modules": []}}, r"'x_proj'"),
    ({"method": "vera", "peft": {"target_modules": ["q_porj"]}}, r"peft\.target_modules: .*'q_porj'"),
    ({"method": "freeze", "freeze": {"layers": 9}}, "the base has only 2 blocks"),
    ({"method": "freeze", "freeze": {"names": ["nrom"]}}, "the base has no weight named nrom"),
]

RIGHT: list[dict[str, Any]] = [
    {"lora": {"target_modules": ["q_proj", "layers.0.mlp.down_proj"]}},
    {"lora": {"target_modules": r".*\.(q|v)_proj"}},
    {"peft": {"modules_to_save": ["lm_head"], "rank_pattern": {"q_proj": 4, r"layers\.1\.self_attn\.k_proj": 2}}},
    {"peft": {"layers_to_transform": [0, 1], "layers_pattern": "layers"}, "lora": {"target_modules": ["q_proj"]}},
    {"peft": {"exclude_modules": r".*\.0\..*", "trainable_token_indices": [1, 2]}},
    {"method": "vera", "peft": {"target_modules": ["q_proj"]}},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("targets") / "base", vocabulary=len(tiny.tokenizer()), tied=False)


@pytest.fixture
def place(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A project whose params.yaml names the base, and that has run nothing yet."""
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump({"base": {"folder": str(base)}}, file)
    monkeypatch.chdir(tmp_path)
    return Paths(tmp_path)


@pytest.mark.parametrize(("values", "message"), WRONG, ids=lambda value: str(value)[:60])
def test_a_name_that_the_base_lacks_is_refused_at_check_and_at_the_start(
    values: dict[str, Any], message: str, base: Path, place: Paths
) -> None:
    settings = Settings.model_validate(values)
    with pytest.raises(SettingsError, match=message):
        stage.validate(settings, place)
    with pytest.raises(SettingsError, match=message):
        attach("train", settings, load_model(base), None, place.root, False)


@pytest.mark.parametrize("values", RIGHT, ids=lambda value: str(value)[:60])
def test_names_that_the_base_has_pass_and_are_tuned(values: dict[str, Any], base: Path, place: Paths) -> None:
    settings = Settings.model_validate(values)
    stage.validate(settings, place)
    tuned = attach("train", settings, load_model(base), None, place.root, False)
    assert any(weight.requires_grad for weight in tuned.parameters())


def test_every_fault_is_said_at_once_and_alignment_says_them_too(place: Paths) -> None:
    values = {"lora": {"target_modules": ["q_porj", "v_proj"]}, "peft": {"exclude_modules": ["o_porj"]}}
    with pytest.raises(SettingsError) as raised:
        align.validate(align.Settings.model_validate({"objective": "dpo", "start": "base", **values}), place)
    assert str(raised.value).count("\n") == 1
    assert str(raised.value).count("params.yaml: align.") == 2
    align.validate(align.Settings.model_validate({"objective": "dpo", "start": "train", **values}), place)


def test_without_a_base_that_can_be_read_nothing_is_refused(place: Paths) -> None:
    (place.root / "params.yaml").write_text("base: {folder: nowhere}\n")
    stage.validate(Settings.model_validate({"lora": {"target_modules": ["q_porj"]}}), place)
