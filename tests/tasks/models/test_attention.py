"""The key `attention`: it reaches the model, computes the same, is recorded, and is refused where it cannot be had."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import MachineError, SettingsError
from tasks.models.attention import check_attention
from tasks.models.private_transformers import attention
from tasks.models.tuning import load
from tasks.training.settings import Optimization
from tasks.training.tuning_settings import Tuning
from tests.families.build import build


def test_what_is_asked_for_computes_attention_and_the_logits_are_the_same(tmp_path: Path) -> None:
    folder, ids = build("qwen3", tmp_path), torch.tensor([[15, 16, 17, 18, 19, 20]])
    models = {name: load(folder, Tuning(attention=name), Optimization()) for name in ("auto", "sdpa", "eager")}
    assert {name: attention(model) for name, model in models.items()} == {
        "auto": "sdpa",
        "sdpa": "sdpa",
        "eager": "eager",
    }
    with torch.no_grad():
        logits = {name: model(ids).logits for name, model in models.items()}
    assert torch.equal(logits["auto"], logits["sdpa"])
    assert torch.allclose(logits["eager"], logits["sdpa"], atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card has what is refused here")
@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3"])
def test_what_needs_a_card_is_refused_without_one(name: Any) -> None:
    with pytest.raises(MachineError, match=f"train.attention = {name}: it needs a GPU, and there is none"):
        check_attention("train", Tuning(attention=name), Optimization())


@pytest.mark.parametrize(
    ("name", "capability", "dtype", "sentence"),
    [
        ("flash_attention_2", (7, 5), "auto", "compute capability 8.0, but this one has 7.5"),
        ("flash_attention_3", (8, 9), "auto", "compute capability 9.0, but this one has 8.9"),
        ("flash_attention_2", (8, 0), "auto", "the package flash_attn, which is not installed"),
        ("flash_attention_2", (8, 0), "float32", "it computes only in 16 bits, but train.dtype is float32"),
    ],
)
def test_cards_and_packages_that_do_not_do(
    monkeypatch: pytest.MonkeyPatch, name: Any, capability: tuple[int, int], dtype: Any, sentence: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    installed: Callable[[str], Any] = lambda package: None if dtype == "auto" else package  # noqa: E731
    monkeypatch.setattr("tasks.models.attention.find_spec", installed)
    with pytest.raises(MachineError, match=sentence):
        check_attention("train", Tuning(attention=name), Optimization(dtype=dtype))


def test_a_class_without_it_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build("gpt_oss", tmp_path / "model")
    (tmp_path / "params.yaml").write_text(json.dumps({"base": {"folder": "model"}}))
    with pytest.raises(SettingsError, match=r"align\.attention = sdpa: model does not support it \(GptOss"):
        check_attention("align", Tuning(attention="sdpa"), Optimization())
    check_attention("align", Tuning(attention="eager"), Optimization())
