"""A base for longer rows: transformers' own rotation of the length asked for, through every stage and into GGUF."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from ruamel.yaml import YAML

from tasks.base import stage
from tasks.base.settings import Rope, Settings
from tasks.core.errors import InputError, ModelError, SettingsError
from tasks.core.paths import Paths
from tasks.merge import stage as merge
from tasks.models.gguf.convert import write_gguf
from tasks.models.gguf.model import LlamaCpp
from tasks.models.loading import load_model
from tasks.template import stage as template
from tasks.train import run
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL

CONTEXT = 24
"""Tokens that the base was made for; the longest row has more."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tiny.project(tmp_path_factory.mktemp("rope"), method="none")
    folder = tiny.model(paths.data / "mine", vocabulary=len(tiny.tokenizer()), max_position_embeddings=CONTEXT)
    tokenizer = tiny.tokenizer()
    tokenizer.model_max_length = CONTEXT
    tokenizer.save_pretrained(folder)
    return paths.root


def with_rope(**rope: Any) -> Settings:
    return Settings.model_validate({"folder": "data/mine", "rope": rope})


def frequencies(folder: Path) -> tuple[Any, float]:
    model = load_model(folder)
    return model.model.rotary_emb.inv_freq, float(model.model.rotary_emb.attention_scaling)


def expected(kind: str, factor: float) -> tuple[Any, float]:
    """By the formulas of the papers, for heads 16 wide and a base of 10,000."""
    plain = 10_000.0 ** -(torch.arange(0, 16, 2).double() / 16)
    if kind == "linear":
        return plain / factor, 1.0
    turns = CONTEXT * plain / (2 * math.pi)  # turns within the old context
    if kind == "llama3":
        kept = ((turns - 1) / 3).clamp(0, 1)
    else:
        low, high = (16 * math.log(CONTEXT / (n * 2 * math.pi)) / (2 * math.log(10_000)) for n in (32, 1))
        first, last = max(math.floor(low), 0), min(math.ceil(high), 15)
        kept = 1 - ((torch.arange(8).double() - first) / (last - first)).clamp(0, 1)
    scale = 0.1 * math.log(factor) + 1 if kind == "yarn" else 1.0
    return plain * kept + plain / factor * (1 - kept), scale


@pytest.mark.parametrize(("kind", "factor"), [("yarn", 4.0), ("linear", 2.0), ("linear", 1.5), ("llama3", 8.0)])
def test_the_rotation_is_that_of_its_paper_and_the_weights_are_the_same(
    project: Paths, kind: str, factor: float
) -> None:
    stage.run(with_rope(type=kind, factor=factor), project)
    record = tiny.read(project.base / "base.json")
    length = round(CONTEXT * factor)
    assert record["rope"] == {"type": kind, "factor": factor, "original": CONTEXT, "length": length}
    folder = project.base / "model"
    assert tiny.read(folder / "config.json")["max_position_embeddings"] == length
    assert tiny.read(folder / "tokenizer_config.json")["model_max_length"] == length
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (project.data / "mine" / weights).read_bytes()
    read, scale = frequencies(folder)
    frequency, scaled = expected(kind, factor)
    assert torch.allclose(read.double(), frequency, rtol=1e-5)
    assert scale == pytest.approx(scaled)


def stretched(project: Paths, kind: str) -> Path:
    """The base, stretched four times."""
    shutil.rmtree(project.base)
    stage.run(with_rope(type=kind, factor=4), project)
    return project.base / "model"


def test_it_goes_through_training_and_merge(project: Paths) -> None:
    base = stretched(project, "yarn")
    template.run(template.Settings(), project)
    assert tiny.read(project.audit)["max_length"]["tokens"] == 4 * CONTEXT
    run.tune(SMALL, project)
    merge.run(merge.Settings(), project)
    config = tiny.read(project.merged / "config.json")
    assert config["max_position_embeddings"] == 4 * CONTEXT
    assert config["rope_parameters"] == tiny.read(base / "config.json")["rope_parameters"]


@pytest.mark.parametrize("kind", ["yarn", "linear", "llama3"])
def test_llama_cpp_computes_the_same(project: Paths, kind: str) -> None:
    folder, out = stretched(project, kind), project.root / "gguf"
    out.mkdir()
    write_gguf(folder, out / "model.gguf", "f32")
    ids = torch.arange(4 * CONTEXT)[None] % 200 + 5
    with torch.no_grad():
        logits = load_model(folder)(input_ids=ids).logits
    running = LlamaCpp(out / "model.gguf")
    assert torch.allclose(logits, running.forward(ids).logits, atol=1e-3)
    assert running.config.max_position_embeddings == 4 * CONTEXT


def test_rows_that_are_no_longer_than_before_are_refused(project: Paths) -> None:
    shutil.rmtree(project.base)
    values = tiny.read(project.data / "mine/config.json")
    (project.data / "mine/config.json").write_text(json.dumps({**values, "max_position_embeddings": 100}))
    named = project.data / "mine/tokenizer_config.json"
    named.write_text(json.dumps({**tiny.read(named), "model_max_length": 100}))
    stage.run(with_rope(type="yarn", factor=2), project)
    with pytest.raises(
        InputError, match=r"base\.rope stretches the context from 100 to 200 tokens, but the longest row"
    ):
        template.run(template.Settings(), project)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, r"already scaled \(linear\)"),
        ({"model_type": "gpt2", "n_positions": 64, "rope_parameters": None}, "no rotary positions"),
    ],
)
def test_a_base_that_cannot_be_stretched_is_refused_before_anything_runs(
    project: Paths, config: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project.data / "mine/config.json"
    file.write_text(json.dumps({**tiny.read(file), **config}))
    monkeypatch.chdir(project.root)
    YAML().dump({"base": {"folder": "data/mine", "rope": {"type": "yarn"}}}, project.params)
    with pytest.raises(ModelError, match=message):
        stage.validate(with_rope(type="yarn"), Paths())


def test_a_seed_has_a_context_of_its_own(project: Paths) -> None:
    (project.root / "seed").mkdir()
    (project.root / "seed/assistant.yaml").write_text("{}")
    with pytest.raises(SettingsError, match=r"base\.architecture\.context"):
        stage.validate(Settings(folder="seed", rope=Rope()), project)


def test_ways_that_are_not_offered() -> None:
    for kind, message in (
        ("dynamic", "row's result would depend on the longest row in its batch, and transformers applies it"),
        ("yran", "did you mean 'yarn'"),
    ):
        with pytest.raises(ValidationError, match=message):
            Rope(type=kind)
    with pytest.raises(ValidationError, match="greater than 1"):
        Rope(factor=1)
    assert "rope" not in Settings().model_dump(mode="json")
