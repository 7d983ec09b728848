"""Weights that are NaN or infinite are named before any stage runs, wherever the settings name them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.core.errors import ModelError
from tasks.core.paths import Paths
from tasks.models import finite as reading
from tasks.models.finite import check_stored
from tasks.rehearsal import finite
from tasks.stages import names
from tests.tasks import tiny


def spoil(file: Path, value: float = torch.nan) -> str:
    """Put `value` into the last number of the last tensor of a file; return the tensor's name."""
    tensors = load_file(file)
    name = sorted(tensors)[-1]
    tensors[name].view(-1)[-1] = value
    save_file(tensors, file, {"format": "pt"})
    return name


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base, a reward model that is a value model too, a teacher, and adapters to start from and to combine with."""
    monkeypatch.chdir(tmp_path)
    base = tiny.model(tmp_path / "model", vocabulary=32, hidden_size=16, intermediate_size=16)
    for name in ("liked", "teacher"):
        tiny.model(tmp_path / "data/guides" / name, vocabulary=32, hidden_size=16, intermediate_size=16)
    for folder in ("starts/mine", "adapters/other"):
        tiny.adapter(tmp_path / "data" / folder, base)
    return tmp_path


def said(most: int = finite.MOST, **sections: dict[str, Any]) -> tuple[list[str], list[str]]:
    values: dict[str, Any] = {name: sections.get(name, {}) for name in names()}
    values["base"] = {"folder": "model"}
    Path("params.yaml").write_text(json.dumps(values))
    before, finite.MOST = finite.MOST, most
    try:
        errors, remarks = finite.look({*names()}, Paths())
    finally:
        finite.MOST = before
    return [str(error) for error in errors], remarks


@pytest.mark.parametrize(
    ("file", "sections"),
    [
        ("model/model.safetensors", {}),
        ("data/guides/liked/model.safetensors", {"align": {"objective": "ppo", "value": "liked"}}),
        (
            "data/guides/liked/model.safetensors",
            {"align": {"objective": "grpo", "rewards": [{"kind": "model", "name": "liked"}]}},
        ),
        ("data/guides/teacher/model.safetensors", {"align": {"objective": "gkd", "teacher": "teacher"}}),
        ("data/starts/mine/adapter_model.safetensors", {"train": {"start": "mine"}}),
        (
            "data/adapters/other/adapter_model.safetensors",
            {"merge": {"combine": {"weights": {"trained": 1, "other": 1}}}},
        ),
    ],
)
def test_file_and_tensor_are_named(project: Path, file: str, sections: dict[str, Any]) -> None:
    assert said(**sections) == ([], [])
    name = spoil(project / file)
    assert said(**sections) == (
        [f"{file}: the tensor {name} contains NaN or infinite values; restore the file, or create it again."],
        [],
    )
    if sections:
        assert said() == ([], []), "what no setting names is not read"


def test_matrices_of_the_base_that_are_all_zero(project: Path) -> None:
    file = project / "model/model.safetensors"
    whole = load_file(file)
    layers = [name for name in whole if name.endswith("q_proj.weight")]
    assert len(layers) > 1
    for name in layers[:-1]:
        whole[name].zero_()
    save_file(whole, file, {"format": "pt"})
    assert said() == ([], []), "one of the layers has numbers"
    whole[layers[-1]].fill_(-0.0)
    save_file(whole, file, {"format": "pt"})
    zero = "every number of model.layers.*.self_attn.q_proj.weight is 0; restore the files, or make them again."
    assert said() == ([f"model: {zero}"], [])
    assert said(most=file.stat().st_size // 2)[0] == [], "the rest may have some"
    save_file({name: torch.zeros_like(one) for name, one in whole.items()}, file, {"format": "pt"})
    (error,) = said()[0]
    assert error.startswith("model: every number of ") and error.count(".weight") == 3


def test_of_a_model_beyond_the_limit_a_part_is_read_and_that_is_said(project: Path) -> None:
    spoil(project / "model/model.safetensors")
    errors, (remark,) = said(most=4096)
    assert errors == []
    assert remark.startswith("model: the first ") and "% of each tensor (" in remark, remark


def test_a_base_that_is_not_there_yet_is_not_read(project: Path) -> None:
    (project / "model/model.safetensors").unlink()
    assert said() == ([], [])


def test_nothing_is_loaded_where_there_is_nothing_to_read(tmp_path: Path) -> None:
    """torch takes seconds, and a check before each run is to be quick."""
    (tmp_path / "params.yaml").write_text(json.dumps({name: {} for name in names()} | {"base": {"folder": "none"}}))
    program = (
        "import sys\nfrom tasks.core.paths import Paths\n"
        "from tasks.rehearsal import finite\nfrom tasks.stages import names\n"
        "assert finite.look({*names()}, Paths()) == ([], [])\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=os.environ, check=True)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_every_type_in_pieces(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large numbers whose sum is infinite are none that are wrong; a wrong one is extent in the last of many pieces."""
    monkeypatch.setattr(reading, "PIECE", 64)
    dtype = getattr(torch, kind)
    numbers = torch.full((7, 29), torch.finfo(dtype).max, dtype=torch.float64).to(dtype)
    save_file(
        {"large": numbers, "none": torch.empty(0, dtype=dtype), "ids": torch.arange(3)}, tmp_path / "a.safetensors"
    )
    extent = check_stored(tmp_path, 2**20)
    assert extent.read == extent.total == numbers.numel() * dtype.itemsize
    assert extent.zero == ()
    few = torch.zeros((7, 29), dtype=torch.float64)
    save_file({"zero": few.to(dtype)}, tmp_path / "a.safetensors")
    assert check_stored(tmp_path, 2**20).zero == ("zero",)
    few[-1, -2:] = torch.tensor([1.0, -1.0])
    save_file({"zero": few.to(dtype)}, tmp_path / "a.safetensors")
    assert check_stored(tmp_path, 2**20).zero == (), "whose sum is 0"
    wrong = numbers.double()
    wrong[-1, -1] = torch.nan
    save_file({"large": wrong.to(dtype)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"a\.safetensors: the tensor large contains NaN"):
        check_stored(tmp_path, 2**20)
    half = check_stored(tmp_path, numbers.numel() * dtype.itemsize // 2)
    assert 0.4 < half.read / half.total < 0.6


@pytest.mark.parametrize("value", [torch.inf, -torch.inf])
def test_infinite_numbers_of_both_signs(value: float, tmp_path: Path) -> None:
    save_file({"a": torch.tensor([1.0, torch.inf, value])}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="NaN or infinite"):
        check_stored(tmp_path, 2**20)
