"""Weights of models whose files have other names and shapes, against what transformers loads and saves."""

from pathlib import Path

import pytest

from tasks.core.errors import ModelError
from tasks.merge.layers import OffloadedModel
from tasks.merge.plan import misfit, plan
from tasks.merge.source import source
from tasks.models.shards import StoredTensor
from tasks.models.writing import Pieces
from tests.families.build import build
from tests.tasks.merge.test_methods import adapt
from tests.tasks.tiny import loaded

torch = pytest.importorskip("torch")


def test_experts_in_one_parameter_are_read_merged_and_stored_each_by_itself(tmp_path: Path) -> None:
    from peft import LoraConfig

    base = build("mixtral", tmp_path / "base", "bfloat16")
    weights = loaded(base).state_dict()
    offloaded = OffloadedModel(source(base))
    assert misfit(offloaded) is None
    layout = offloaded.layout
    assert set(layout.by_weight) == set(weights)
    for name, group in layout.by_weight.items():
        assert torch.equal(group.read()[name].float(), weights[name].float())

    config = LoraConfig(r=2, target_modules=[], target_parameters=["experts.down_proj"])
    merged = adapt(base, tmp_path / "adapter", config).merge_and_unload().bfloat16()
    merged.save_pretrained(tmp_path / "peft")

    adapter = source(tmp_path / "adapter").tensors
    offloaded.attach(tmp_path / "adapter", set(adapter))
    expected, before = source(tmp_path / "peft").tensors, source(base).tensors
    planned = {name: tensor for tensors in plan(offloaded, None).values() for name, tensor in tensors.items()}
    assert set(planned) == set(before) == set(expected)
    for name, tensor in planned.items():
        copied = isinstance(tensor.make, StoredTensor)
        assert copied == (".w2." not in name), f"{name}: what is not tuned is copied, and nothing else"
        assert not isinstance(tensor.make, Pieces)
        value = tensor.make.read() if isinstance(tensor.make, StoredTensor) else tensor.make()
        assert torch.equal(value, expected[name].read()), name
        assert torch.equal(value, before[name].read()) == copied


def test_an_expert_that_is_missing(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    base = build("mixtral", tmp_path)
    tensors = load_file(base / "model.safetensors")
    name = next(name for name in sorted(tensors) if "experts.3.w2" in name)
    tensors.pop(name)
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="down_proj"):
        misfit(OffloadedModel(source(base)))
