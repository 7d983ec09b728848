"""An adapter that was trained on a quantised base is merged into what quantising left of the base."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import CheckFailed
from tasks.core.paths import Paths
from tasks.merge.settings import Settings
from tasks.merge.stage import run
from tasks.models.loading import keep_packing
from tests.tasks import tiny

torch = pytest.importorskip("torch")

IDS = list(range(3, 60))


@pytest.fixture(params=["nf4", "fp4", "int8"])
def qlora(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Paths]:
    paths = tiny.project(tmp_path)
    record = {"quantization": {"scheme": request.param, "double_quant": True}}
    (paths.trained / "training.json").write_text(json.dumps(record))
    return request.param, paths


def live(paths: Paths, scheme: str) -> Any:
    """Logits of the quantised base with the adapter, by bitsandbytes and peft alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how = (
        BitsAndBytesConfig(load_in_8bit=True)
        if scheme == "int8"
        else BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=scheme, bnb_4bit_use_double_quant=True)
    )
    base = AutoModelForCausalLM.from_pretrained(paths.base / "model", quantization_config=how, dtype=torch.float32)
    keep_packing(base)  # on processors with AVX512-BF16 the packed weights are multiplied in bfloat16
    with torch.no_grad():
        return PeftModel.from_pretrained(base, paths.trained).eval()(torch.tensor([IDS])).logits.float()


def merged(paths: Paths) -> Any:
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(paths.merged)(torch.tensor([IDS])).logits


def test_merged_into_what_was_trained_on(qlora: tuple[str, Paths]) -> None:
    scheme, paths = qlora
    expected = live(paths, scheme)
    run(Settings(), paths)
    facts = tiny.read(paths.merged / "merge.json")
    assert facts["into"] == f"the base as {scheme} left it"
    near = (merged(paths) - expected).abs().max().item()
    if scheme != "int8":
        with pytest.raises(CheckFailed, match=f"it was trained on the base as {scheme} left it"):
            run(Settings(trained_on="stored"), paths)
    run(Settings(trained_on="stored", max_error=100.0), paths)
    assert tiny.read(paths.merged / "merge.json")["into"] == "the base as it is stored"
    far = (merged(paths) - expected).abs().max().item()
    assert near < (1.0 if scheme == "int8" else 0.001)
    assert near < far / 2 or scheme == "int8", "int8 is so near to the base that either will do"


def test_the_choice_can_be_made_by_hand(tmp_path: Path) -> None:
    paths = tiny.project(tmp_path)
    run(Settings(trained_on="nf4", double_quant=False), paths)
    assert tiny.read(paths.merged / "merge.json")["into"] == "the base as nf4 left it"
    assert "quantization_config" not in tiny.read(paths.merged / "config.json")
