"""An architecture that llama.cpp does not convert is refused before a run, and only where a GGUF file is wanted."""

import json
from pathlib import Path

import pytest

from flows.params.model import model
from flows.plan.gguf import faults
from tasks.core.settings import PARAMS, load
from tests.flows.project import ROOT


@pytest.mark.parametrize(
    ("config", "schemes", "formats", "expected"),
    [
        ({"architectures": ["OPTForCausalLM"]}, ["nf4", "gguf-q8_0"], [], "remove gguf-q8_0 from"),
        ({"architectures": ["OPTForCausalLM"]}, [], ["ollama"], "remove ollama from"),
        ({"architectures": ["OPTForCausalLM"]}, ["nf4"], ["adapters"], None),
        ({"architectures": ["LlamaForCausalLM"]}, ["gguf-q4_k_m"], ["ollama"], None),
        ({"architectures": ["LlamaForCausalLM"], "hidden_act": "gelu"}, ["gguf-f16"], [], "the activation silu"),
        ({"model_type": "opt"}, ["gguf-q8_0"], [], None),
        (None, ["gguf-q8_0"], ["ollama"], None),
    ],
)
def test_a_base_that_llama_cpp_does_not_convert(
    tmp_path: Path, config: dict[str, object] | None, schemes: list[str], formats: list[str], expected: str | None
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    params = load(model(), ROOT / PARAMS)
    sections = {
        "base": params.base.model_copy(update={"folder": str(tmp_path)}),
        "quantize": params.quantize.model_copy(update={"schemes": schemes}),
        "export": params.export.model_copy(update={"formats": formats}),
    }
    sentences = list(faults(params.model_copy(update=sections)))
    assert len(sentences) == (expected is not None)
    assert expected is None or (sentences[0].startswith(f"{tmp_path}: llama.cpp ") and expected in sentences[0])
