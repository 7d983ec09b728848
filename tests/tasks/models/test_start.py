"""Training that goes on from an adapter: from its very weights, to the same bytes, and from none that does not fit."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from tasks.align.settings import Settings as Alignment
from tasks.core.errors import InputError, ModelError, SettingsError, TemperError
from tasks.core.files import sha256
from tasks.core.paths import Paths
from tasks.merge import stage as merge
from tasks.template import stage as template
from tasks.train import run, stage
from tasks.train.settings import Settings
from tasks.training import rows
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL, Killed, hashes, killed_at

FITS: dict[str, Any] = {"lora": {"r": 4, "alpha": 8}, "method": "lora"}
"""What tiny.adapter has."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tiny.project(tmp_path_factory.mktemp("start"), method="none")
    template.run(template.Settings(), paths)
    tiny.adapter(paths.starts / "first", paths.base / "model")
    write(paths, base_model_name_or_path="model")
    return paths.root


def write(paths: Paths, **values: Any) -> None:
    """Change the configuration of the adapter."""
    file = paths.starts / "first" / "adapter_config.json"
    file.write_text(json.dumps({**tiny.read(file), **values}))


def starting(**values: Any) -> Settings:
    return Settings.model_validate({**SMALL.model_dump(), "start": "first", **FITS, **values})


def test_it_starts_at_the_loss_of_the_adapter_and_keeps_its_bytes_where_nothing_is_learned(project: Paths) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(project.base / "model", dtype=torch.float32)
    tuned = PeftModel.from_pretrained(model, str(project.starts / "first")).eval()
    total, tokens = 0.0, 0
    for row in rows.load(project.tokens("train")):
        labels = torch.tensor([row["labels"]])
        count = int((labels[:, 1:] != -100).sum())
        with torch.no_grad():
            total += float(tuned(input_ids=torch.tensor([row["input_ids"]]), labels=labels).loss) * count
        tokens += count
    run.tune(starting(steps=1, batch_size=20, learning_rate=1e-12, warmup_steps=0, dtype="float32"), project)
    loss = float((project.trained / "loss.csv").read_text().splitlines()[1].split(",")[1])
    assert loss == pytest.approx(total / tokens, rel=1e-4)
    before = load_file(project.starts / "first" / "adapter_model.safetensors")
    after = load_file(project.trained / "adapter_model.safetensors")
    assert set(before) == set(after)
    assert all(torch.allclose(before[name], after[name], atol=1e-9) for name in before)
    record = tiny.read(project.trained / "training.json")["start"]
    assert record["adapter_model.safetensors"] == sha256(project.starts / "first" / "adapter_model.safetensors")


def test_the_same_bytes_after_a_kill_and_other_ones_of_another_adapter(
    project: Paths, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run.tune(starting(), project)
    first = hashes(project)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(5, patch)
        run.tune(starting(), project)
    weights = project.starts / "first" / "adapter_model.safetensors"
    before = weights.read_bytes()
    save_file({name: value * 1.5 for name, value in load_file(weights).items()}, weights)
    run.tune(starting(), project)
    assert "because inputs have changed: start.adapter_model.safetensors" in capsys.readouterr().out
    assert hashes(project)["adapter_model.safetensors"] != first["adapter_model.safetensors"]
    weights.write_bytes(before)
    run.tune(starting(), project)
    assert "from checkpoint-4" in capsys.readouterr().out
    assert hashes(project) == first


def test_what_comes_out_is_merged_into_the_base_as_its_two_factors_say(project: Paths) -> None:
    run.tune(starting(), project)
    merge.run(merge.Settings(), project)
    base, merged = (load_file(folder / "model.safetensors") for folder in (project.base / "model", project.merged))
    adapter = load_file(project.trained / "adapter_model.safetensors")
    layers = sorted(name.split(".lora_A")[0] for name in adapter if ".lora_A" in name)
    assert len(layers) == 14
    for layer in layers:
        name = layer.removeprefix("base_model.model.") + ".weight"
        update = adapter[f"{layer}.lora_B.weight"] @ adapter[f"{layer}.lora_A.weight"] * 8 / 4
        assert torch.allclose(merged[name], base[name] + update, atol=1e-6)


def test_dropout_is_that_of_the_settings(project: Paths) -> None:
    run.tune(starting(lora={"r": 4, "alpha": 8, "dropout": 0.3}), project)
    assert tiny.read(project.trained / "adapter_config.json")["lora_dropout"] == 0.3


@pytest.mark.parametrize("method", ["dora", "ia3", pytest.param("hira", marks=pytest.mark.long), "ln_tuning"])
def test_other_kinds_go_on_too(project: Paths, method: str) -> None:
    settings = SMALL.model_copy(update={"method": method, "learning_rate": 1e-3})
    run.tune(settings, project)
    shutil.copytree(project.trained, project.starts / "second")
    first = load_file(project.trained / "adapter_model.safetensors")
    run.tune(settings.model_copy(update={"start": "second", "learning_rate": 1e-6}), project)
    second = load_file(project.trained / "adapter_model.safetensors")
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


def test_alignment_starts_there_too(project: Paths) -> None:
    from tasks.align import stage as align
    from tests.tasks.align.test_align import SMALL as ALIGNED
    from tests.tasks.align.test_align import losses, preferences

    preferences(project)
    settings = Alignment.model_validate({**ALIGNED.model_dump(), "start": "first", **FITS})
    align.run(settings, project)
    assert losses(project.aligned)[0] == pytest.approx(0.6931472, abs=1e-5)
    assert "adapter_model.safetensors" in tiny.read(project.aligned / "training.json")["start"]
    with pytest.raises(ValidationError, match="a reward model starts from train or base"):
        Alignment(objective="reward", start="first")


@pytest.mark.parametrize(
    ("values", "config", "message"),
    [
        ({"start": "none"}, {}, r"train\.start = 'none': .* is not an adapter, .* found: first"),
        ({"method": "full"}, {}, r"train\.start is an adapter, but train\.method full trains none"),
        ({"method": "ia3"}, {}, r"train\.method is ia3, but the adapter .* of the kind LORA; set it to lora"),
        ({"method": "pissa"}, {}, "the adapter already has weights, but train says how to initialise new ones"),
        ({"method": "dora"}, {}, r"use_dora \(method dora\) False, but train says use_dora"),
        ({"peft": {"init_lora_weights": "gaussian"}}, {}, "how to initialise new ones"),
        ({"peft": {"bias": "all"}}, {}, r"has peft\.bias none, but train says peft\.bias all"),
        ({"lora": {"r": 8, "alpha": 8}}, {}, r"has lora\.r 4, but train says lora\.r 8"),
        ({"lora": {"r": 4, "alpha": 16}}, {}, r"has lora\.alpha 8, but train says lora\.alpha 16"),
        ({"lora": {"r": 4, "alpha": 8, "target_modules": ["q_proj"]}}, {}, r"has lora\.target_modules"),
        (
            {"method": "prefix_tuning"},
            {"peft_type": "PREFIX_TUNING"},
            "peft cannot continue training the virtual tokens of prefix_tuning",
        ),
        ({"method": "adalora"}, {"peft_type": "ADALORA"}, "adalora does not hold its whole state"),
        ({}, {"peft_type": "WHAT"}, "of the kind WHAT; temper does not support this type"),
        ({}, {"init_lora_weights": "pissa_niter_4"}, "changes the base's own weights when it is loaded"),
        ({}, {"use_rslora": True}, r"use_rslora \(method rslora\) True"),
        ({}, {"base_model_name_or_path": "another/model"}, "was trained on another/model"),
        ({}, {"base_model_name_or_path": None}, "names no base"),
    ],
)
def test_what_does_not_fit_is_refused(
    project: Paths, values: dict[str, Any], config: dict[str, Any], message: str
) -> None:
    write(project, **config)
    with pytest.raises(TemperError, match=message):
        run.tune(starting(**values), project)
    if "base_model_name_or_path" not in config:  # known without a base
        with pytest.raises((SettingsError, InputError), match=message):
            stage.validate(starting(**values), project)
    assert not project.trained.exists()


def test_an_adapter_of_another_base_is_refused_by_its_record_and_by_its_weights(project: Paths) -> None:
    record = project.starts / "first" / "training.json"
    record.write_text(json.dumps({"base": "0" * 64}))
    with pytest.raises(ModelError, match="trained on a base with the hash 000000000000"):
        run.tune(starting(), project)
    record.write_text(json.dumps({"base": "0" * 64, "quantization": {"scheme": "nf4"}}))
    with pytest.raises(SettingsError, match=r"train\.quantization is null, but the adapter .* nf4; set it to nf4"):
        run.tune(starting(), project)
    record.unlink()
    weights = project.starts / "first" / "adapter_model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if "layers.1." in name)
    for changed in (
        {name.replace("layers.1.", "layers.7."): tensors[name].clone(), **tensors},
        {other: value for other, value in tensors.items() if other != name},
        {**tensors, name: tensors[name][:, :-1].contiguous()},
    ):
        save_file(changed, weights)
        with pytest.raises(ModelError, match="does not fit the base"):
            run.tune(starting(), project)
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match="pickled"):
        run.tune(starting(), project)


def test_it_has_no_effect_where_nothing_is_trained() -> None:
    with pytest.raises(ValidationError, match="start has no effect if enabled is false"):
        Settings(enabled=False, start="first")
    assert "start" not in Settings().model_dump(mode="json")
