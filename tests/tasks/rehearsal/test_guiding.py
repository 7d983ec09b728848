"""Models that reward, tell values or teach, and those that are combined: what cannot work is known before any stage."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import ModelError, TemperError
from tasks.models.loading import check_finite
from tasks.rehearsal import combined, guiding
from tasks.rehearsal.sections import raised
from tasks.stages import names
from tests.tasks import tiny

VOCABULARY = 64


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that write and models that score, whole and damaged, in data/guides and data/adapters; a base."""
    from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

    root = tmp_path_factory.mktemp("guiding")
    guides, adapters = root / "data/guides", root / "data/adapters"
    tiny.model(root / "base", vocabulary=VOCABULARY)
    for folder in (guides / "writes", adapters / "whole"):
        tiny.model(folder, vocabulary=VOCABULARY)
    tiny.model(adapters / "narrow", vocabulary=VOCABULARY, hidden_size=32)
    tiny.model(adapters / "grown", vocabulary=VOCABULARY + 2)
    tiny.adapter(adapters / "small", root / "base")
    tiny.adapter(adapters / "gone", root / "base")
    (adapters / "gone/adapter_model.safetensors").unlink()
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    for name, labels in (("liked", 1), ("three", 3), ("cut", 1), ("bare", 1)):
        config = LlamaConfig(vocab_size=VOCABULARY, num_labels=labels, **shape)
        LlamaForSequenceClassification(config).save_pretrained(guides / name)
    bert = BertConfig(vocab_size=VOCABULARY, num_labels=1, **shape)
    BertForSequenceClassification(bert).save_pretrained(guides / "bert")
    (guides / "bare/model.safetensors").unlink()
    cut = guides / "cut/model.safetensors"
    cut.write_bytes(cut.read_bytes()[:3000])
    return root


def refusals(**sections: dict[str, Any]) -> list[TemperError]:
    """What is said of these sections of params.yaml in the current folder."""
    base = {"base": {"folder": "base"}}
    Path("params.yaml").write_text(json.dumps({name: (base | sections).get(name, {}) for name in names()}))
    asked = {*names()}
    return [error for check in (*guiding.checks(asked), *combined.checks(asked)) for error in raised(check)]


def of_reward(name: str) -> dict[str, Any]:
    return {"objective": "ppo", "rewards": [{"kind": "model", "name": name}]}


@pytest.mark.parametrize(
    ("align", "message"),
    [
        (of_reward("liked"), None),
        (of_reward("bert"), None),
        (of_reward("writes"), "align.rewards.0.name names a LlamaForCausalLM, which gives no score for an answer"),
        (of_reward("three"), "gives 3 numbers for an answer, but one is needed"),
        (of_reward("bare"), "no tensor in any *.safetensors file"),
        (of_reward("cut"), "cut/model.safetensors"),
        ({**of_reward("writes"), "objective": "dpo"}, None),
        ({"objective": "ppo", "value": "liked"}, None),
        ({"objective": "ppo", "value": "writes"}, None),
        ({"objective": "ppo", "value": "three"}, "align.value names a model that gives 3 numbers"),
        ({"objective": "ppo", "value": "bert"}, "no per-token value head for the model type bert"),
        ({"objective": "ppo", "value": "cut"}, "cut/model.safetensors"),
        ({"objective": "gkd", "teacher": "writes"}, None),
        ({"objective": "gkd", "teacher": "liked"}, "a LlamaForSequenceClassification, which writes no answers"),
        ({"objective": "gold", "teacher": "bare"}, "no tensor in any *.safetensors file"),
    ],
)
def test_a_model_that_cannot_guide_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, align: dict[str, Any], message: str | None
) -> None:
    monkeypatch.chdir(project)
    sentences = [str(error) for error in refusals(align=align)]
    assert len(sentences) == (message is not None)
    assert all(str(message) in one and "data/guides/" in one for one in sentences)


@pytest.mark.parametrize(
    ("method", "other", "message"),
    [
        ("lora", "small", None),
        ("full", "whole", None),
        ("full", "grown", None),  # new tokens are no other model
        ("lora", "whole", "is a whole model, but lora makes an adapter"),
        ("full", "small", "is an adapter, but full makes a whole model"),
        ("full", "narrow", "was not tuned from the base base: model.layers.0.input_layernorm.weight is (32,) there"),
        ("lora", "gone", "no tensor in any *.safetensors file"),
    ],
)
def test_what_cannot_be_combined_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, method: str, other: str, message: str | None
) -> None:
    monkeypatch.chdir(project)
    combine = {"weights": {"trained": 0.5, other: 0.5}, "method": "linear"}
    sentences = [str(error) for error in refusals(train={"method": method}, merge={"combine": combine})]
    assert len(sentences) == (message is not None)
    assert all(str(message) in one for one in sentences)


@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_a_weight_that_is_no_number_is_named(number: float) -> None:
    last = torch.nn.Linear(2, 1)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), last)
    check_finite(model, Path("data/guides/teacher"))
    with torch.no_grad():
        last.weight[0, 1] = number
    with pytest.raises(ModelError, match=r"data/guides/teacher: 1\.weight contains NaN or infinite values"):
        check_finite(model, Path("data/guides/teacher"))
