"""What a check says of a base before any stage has run: by its files, and by what a small copy of it cannot do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.rehearsal import run
from tasks.stages import names
from tests.families.build import build
from tests.families.configurations import FAMILIES, SAMPLE
from tests.tasks import tiny

MIXES = "the base mixes rows that share a pack"
SHARES = "of the layers' weights in fewer bits"
NEW_TOKENS = "template.new_tokens also adds rows to"
MERGES = "this kind of model cannot be tuned and merged with the method lora"

REFUSALS: dict[str, set[str]] = {
    "gemma4_text": {NEW_TOKENS},
    "falcon": {MIXES, SHARES},
    "mixtral": {SHARES},
    "gpt_oss": {MIXES, SHARES},
    "lfm2": {MIXES},
    "qwen3_5": {MIXES},
}
"""What the stages themselves refuse of families in the sample, with packing, new tokens, nf4 and int8."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Settings of a project in the current folder; its base is to be put into `model`."""
    monkeypatch.chdir(tmp_path)

    def make(**sections: dict[str, Any]) -> Path:
        values = {name: sections.get(name, {}) for name in names()}
        values["base"] = {"folder": "model"}
        values["quantize"].setdefault("schemes", [])
        Path("params.yaml").write_text(json.dumps(values))
        return tmp_path / "model"

    return make


def refusals() -> list[str]:
    return [str(fault) for fault in run.faults()]


ALIKE = {"gpt_oss", "qwen3_5", "phi3"}
"""Families in the sample of which the stages refuse what they refuse of falcon, lfm2 and qwen3."""


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=() if name in SAMPLE and name not in ALIKE else pytest.mark.long)
        for name in dict.fromkeys([*SAMPLE, *FAMILIES])
    ],
)
def test_a_family_is_refused_what_its_stages_refuse(project: Callable[..., Path], family: str) -> None:
    build(
        family,
        project(template={"packing": True, "new_tokens": ["<|a|>", "<|b|>"]}, quantize={"schemes": ["nf4", "int8"]}),
    )
    sentences = refusals()
    if family in SAMPLE:
        expected = REFUSALS.get(family, set())
        assert len(sentences) == len(expected)
        assert all(any(part in one for one in sentences) for part in expected)
    assert all(one.endswith(".") and "Traceback" not in one for one in sentences)


def test_what_the_whole_chain_can_do_is_not_refused(project: Callable[..., Path]) -> None:
    build("gpt_neox", project(template={"new_tokens": ["<|a|>"]}))
    assert refusals() == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "is an encoder-decoder"),
        ({"model_type": "bart", "architectures": ["BartForConditionalGeneration"]}, "is an encoder-decoder"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "BertForMaskedLM, which is not a causal"),
        ({"model_type": "bert"}, "reads a text in both directions"),
        (
            {"model_type": "vit", "architectures": ["ViTModel"]},
            "ViTModel is not among transformers' causal language models",
        ),
        (
            {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]},
            "LlamaForSequenceClassification, which is not a causal",
        ),
        ({"model_type": "blip-2", "architectures": ["Blip2ForConditionalGeneration"]}, "without pixel_values"),
        ({"model_type": "of_its_own", "auto_map": {"AutoConfig": "code.Config"}}, "its own code (auto_map),"),
        ({"model_type": "of_the_future"}, "transformers cannot read its config.json"),
        ({}, "transformers cannot read its config.json"),
        (
            {"model_type": "llama", "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            "quantised by bitsandbytes",
        ),
        (
            {"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4}},
            "quantised by gptq",
        ),
    ],
)
def test_what_is_no_causal_language_model(
    project: Callable[..., Path], values: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(values))
    monkeypatch.setattr(run, "is_model", lambda folder: False)  # weights and tokenizer are not what this is about
    (one,) = refusals()
    assert one.startswith("model: ")
    assert sentence in one


def test_weights_that_are_missing_or_of_another_shape(project: Callable[..., Path]) -> None:
    from safetensors.torch import load_file, save_file

    folder = build("qwen3", project())
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({**weights, name: weights[name][:60].clone()}, file, {"format": "pt"})
    (one,) = refusals()
    assert f"model: the weight {name} has the shape (60, 64), but config.json says (128, 64)" in one
    del weights[name]
    save_file(weights, file, {"format": "pt"})
    (one,) = refusals()
    assert f"model: 1 weight missing, such as {name}" in one


def test_lengths_and_templates_that_the_stage_template_would_refuse(project: Callable[..., Path]) -> None:
    build("gemma3", project(template={"max_length": 513}))
    (one,) = refusals()
    assert one == "template.max_length = 513: the base allows at most 512 tokens; lower it."


def test_nothing_is_asked_of_what_is_no_model_yet(project: Callable[..., Path]) -> None:
    folder = project()
    assert refusals() == []
    tiny.tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text("{}")
    assert refusals() == []  # without weights: said by the check of the base's files
    shutil.rmtree(folder)
